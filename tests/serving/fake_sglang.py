"""A program that stands for sglang's server: it takes its options, writes its log's lines and answers."""

import argparse
import sys
import threading

from tests.serving.fake_server import fake_server

LOG = """\
[2026-11-01 10:07:35] Attention backend not specified. Use flashinfer backend by default.
[2026-11-01 10:07:40] Load weight end. elapsed=0.55 s, type=Qwen2ForCausalLM, mem usage=0.93 GB.
[2026-11-01 10:07:41] KV Cache is allocated. #tokens: 46611, K size: 1.50 GB, V size: 1.50 GB
"""
KNOWN = ("--model-path", "--served-model-name", "--host", "--port", "--context-length", "--device", "--dtype")
KNOWN += ("--max-running-requests", "--sampling-defaults")
METRICS = 'sglang:token_usage{model_name="tiny"} 0.25\n'


def main() -> None:
    """Serve until killed; an unknown option ends it, as argparse does."""
    if "--version" in sys.argv:
        print("sglang version 0.5.9")
        return
    parser = argparse.ArgumentParser()
    parser.add_argument("verb", choices=["serve"])
    for name in KNOWN:
        parser.add_argument(name)
    for name in ("--disable-radix-cache", "--enable-metrics"):
        parser.add_argument(name, action="store_true", required=True)
    asked = parser.parse_args()
    print(LOG, flush=True)
    port = int(asked.port)
    with fake_server(kind="sglang", names=(asked.served_model_name,), metrics=METRICS, port=port):
        threading.Event().wait()
