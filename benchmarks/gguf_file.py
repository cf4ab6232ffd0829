"""One GGUF file in our engine and in llama.cpp: speed in turns, and whether the greedy answers agree.

    python benchmarks/gguf_file.py model.gguf --llama-python ../llama/bin/python
    python benchmarks/gguf_file.py model.gguf --llama-python ... --problems HumanEval.jsonl.gz --limit 40

llama.cpp runs as the server of the package xllamacpp, which --llama-python must be able to import: an
environment of its own. Both sides get the same token ids and the same number of threads, lengths are forced,
the cache of prompts is off, and the timings are llama.cpp's own; each round measures one after the other, so
that a busy machine hits both. Where answers part, the step is shown with the margin by which our logits
prefer our token to llama.cpp's: a small one is a near tie, a large one a fault.
"""

import argparse
import gzip
import json
import random
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import torch

from quantbench.decoding import Decoder, Request
from quantbench.methods import METHODS, LoadSettings
from quantbench.sources import load_tokenizer, open_source

SERVER = """
import sys, time, xllamacpp
path, threads, context = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
p = xllamacpp.CommonParams()
p.model.path, p.n_parallel, p.n_ctx, p.port, p.ui = path, 1, context, 0, False
p.cpuparams.n_threads = p.cpuparams_batch.n_threads = threads
p.hostnames = ["127.0.0.1"]
server = xllamacpp.Server(p)
print("ready", server.listening_address, flush=True)
sys.stdin.read()
"""
CONTEXT = 4096
START_S = 120
NEAR_TIE = 0.5  # of a logit: less than what 8-bit activations move


class LlamaServer:
    """llama.cpp behind its HTTP interface."""

    def __init__(self, address: str) -> None:
        self._url = f"{address if address.startswith('http') else f'http://{address}'}/completion"

    def complete(self, prompt: Sequence[int], new: int, *, forced: bool) -> dict[str, Any]:
        """Its answer: `tokens` (ids) and `timings`."""
        asked = {
            "prompt": list(prompt),
            "n_predict": new,
            "temperature": 0,
            "ignore_eos": forced,
            "cache_prompt": False,
            "return_tokens": True,
        }
        request = urllib.request.Request(
            self._url, json.dumps(asked).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=600) as answer:
            return dict(json.loads(answer.read()))


@contextmanager
def llama_server(python: str, path: Path, threads: int) -> Iterator[LlamaServer]:
    """A server for the file; it ends with the block."""
    command = [python, "-c", SERVER, str(path), str(threads), str(CONTEXT)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout and process.stdin
    try:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            words = process.stdout.readline().split()
            if words[:1] == ["ready"]:
                yield LlamaServer(words[1])
                return
            if process.poll() is not None:
                break
        raise SystemExit(f"llama.cpp did not start; try {python} -c 'import xllamacpp'")
    finally:
        process.kill()
        process.wait()


def our_speeds(decoder: Decoder, prompt: tuple[int, ...], new: int) -> tuple[float, float]:
    """Tokens/s of the prompt and of decoding after the first token."""
    one, all_new = (Request(prompt_ids=prompt, max_new_tokens=count) for count in (1, new))
    times = []
    for request in (one, all_new):
        start = time.perf_counter()
        decoder.generate([request], batch_size=1)
        times.append(time.perf_counter() - start)
    return len(prompt) / times[0], (new - 1) / (times[1] - times[0])


def llama_speeds(server: LlamaServer, prompt: tuple[int, ...], new: int) -> tuple[float, float]:
    """The same by its own timings."""
    timings = server.complete(prompt, new, forced=True)["timings"]
    return timings["prompt_per_second"], (new - 1) * 1000 / timings["predicted_ms"]


def speeds(decoder: Decoder, server: LlamaServer, settings: argparse.Namespace) -> None:
    """Print both, a line a round, then medians and their ratios."""
    draw = random.Random(0)
    found: list[tuple[float, ...]] = []
    print("tokens/s        ours: prompt    decode   llama.cpp: prompt    decode")
    for number in range(settings.rounds + 1):
        prompt = tuple(draw.randrange(1000, decoder.vocab_size // 2) for _ in range(settings.prompt))
        ours, theirs = (
            our_speeds(decoder, prompt, settings.new),
            llama_speeds(server, prompt, settings.new),
        )
        if number:  # the first round warms both up
            found.append((*ours, *theirs))
            print(f"round {number:<8}{ours[0]:>14.0f}{ours[1]:>10.1f}{theirs[0]:>20.0f}{theirs[1]:>10.1f}")
    a, b, c, d = (median(column) for column in zip(*found, strict=True))
    print(f"{'median':<14}{a:>14.0f}{b:>10.1f}{c:>20.0f}{d:>10.1f}")
    ratios = [(row[0] / row[2], row[1] / row[3]) for row in found]
    print(f"ours over llama.cpp, median of rounds: prompt {median(r[0] for r in ratios):.2f}, ", end="")
    print(f"decode {median(r[1] for r in ratios):.2f}")


def agreement(decoder: Decoder, server: LlamaServer, prompts: Sequence[tuple[int, ...]], new: int) -> None:
    """Print how many greedy answers are the same, and where and by what margin the others part."""
    same, near = 0, 0
    for number, prompt in enumerate(prompts):
        ours = decoder.generate([Request(prompt_ids=prompt, max_new_tokens=new)], batch_size=1)[0].token_ids
        theirs = tuple(server.complete(prompt, new, forced=True)["tokens"])[: len(ours)]
        step = next((i for i, pair in enumerate(zip(ours, theirs, strict=False)) if pair[0] != pair[1]), None)
        if step is None:
            same += 1
            continue
        logits = next(iter(decoder.score([(*prompt, *ours[: step + 1])])))
        at = torch.as_tensor(logits)[len(prompt) + step - 1]
        margin = float(at[ours[step]] - at[theirs[step]])
        near += margin < NEAR_TIE
        print(f"prompt {number}: part at token {step}, our logit is higher by {margin:.3f}", flush=True)
    rest = len(prompts) - same
    print(
        f"{same} of {len(prompts)} answers of {new} tokens are identical, "
        f"{near} of {rest} others part at a near tie"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--llama-python", required=True, help="an interpreter that can import xllamacpp")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--new", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--problems", type=Path, help="HumanEval.jsonl.gz: compare greedy answers, too")
    parser.add_argument("--limit", type=int, default=164)
    settings = parser.parse_args()
    source = open_source(str(settings.file))
    load = LoadSettings(device="cpu", dtype="float32", threads=settings.threads)
    decoder = METHODS["stored"].load(source, load).decoder
    with llama_server(settings.llama_python, settings.file, settings.threads) as server:
        speeds(decoder, server, settings)
        if settings.problems:
            tokenizer = load_tokenizer(source)
            with gzip.open(settings.problems, "rt") as lines:
                texts = [json.loads(line)["prompt"] for line in lines][: settings.limit]
            agreement(decoder, server, [tuple(tokenizer.encode(text).ids) for text in texts], settings.new)


if __name__ == "__main__":
    main()
