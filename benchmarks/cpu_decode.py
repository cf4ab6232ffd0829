"""CPU speed of every method in one run, with transformers and llama.cpp beside it.

    python benchmarks/cpu_decode.py --model random:qwen2.5-0.5b --methods fp16,int8,int4
    python benchmarks/cpu_decode.py --model builtin --batch 64

Decode: tokens/s after the first token, forced lengths, the best of the rounds (a machine that is shared only
ever adds time). Prefill: tokens/s of one prompt. Engines take turns within every round, so that a load from
elsewhere meets all of them. Weight MB are resident. llama.cpp is measured where llama-cpp-python and gguf
are installed (build it with GGML_NATIVE=OFF where the native build crashes), at batch 1, on the same weights
written as F16, Q8_0 and Q4_0 into a temporary folder. Nothing else is written.
"""

import argparse
import ctypes
import importlib.util
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from quantbench.decoding import Decoder, Request
from quantbench.measure import measure_bandwidth
from quantbench.methods import METHODS, LoadSettings
from quantbench.sources import ModelSource, open_source

LLAMA_TYPES = {"fp16": "F16", "int8": "Q8_0", "int4": "Q4_0"}
Speed = Callable[[int, int], tuple[float, float]]  # (prompt, new) -> seconds to first token, and after it


@dataclass(slots=True)
class Contender:
    """One engine under one method; best seconds so far."""

    engine: str
    method: str
    weight_bytes: int
    run: Speed
    batch: int
    step_s: float = field(default=float("inf"))
    prefill_s: float = field(default=float("inf"))

    def measure(self, prompt: int, new: int, prefill: int) -> None:
        """One round; keeps the best."""
        _, after = self.run(prompt, new)
        self.step_s = min(self.step_s, after / (new - 1))
        first, _ = self.run(prefill, 1)
        self.prefill_s = min(self.prefill_s, first)


def decoder_speed(decoder: Decoder, batch: int) -> Speed:
    """Times a Decoder; prefill is that of one prompt, decode that of `batch` rows."""

    def run(prompt: int, new: int) -> tuple[float, float]:
        rows = batch if new > 1 else 1
        ids = tuple(7 + i % 900 for i in range(prompt))
        requests = [Request(prompt_ids=ids, max_new_tokens=new)] * rows
        first = 0.0

        def on_first() -> None:
            nonlocal first
            first = time.perf_counter()

        start = time.perf_counter()
        decoder.generate(requests, batch_size=rows, on_first_token=on_first)
        return first - start, time.perf_counter() - first

    return run


def contenders(source: ModelSource, settings: argparse.Namespace, stack: ExitStack) -> Iterator[Contender]:
    """Our engine, transformers, llama.cpp: each method that the engine has."""
    for method in settings.methods.split(","):
        for engine in ("native", "transformers"):
            if METHODS[method].unsupported_reason(engine):
                continue
            decoder = load(source, method, engine, settings.dtype)
            weight_bytes = sum(tensor.nbytes for _, tensor in decoder.resident_tensors())
            speed = decoder_speed(decoder, settings.batch)
            yield Contender(engine, method, weight_bytes, speed, settings.batch)
        if settings.batch == 1 and method in LLAMA_TYPES and llama_there():
            yield llama(source, method, settings, stack)


def load(source: ModelSource, method: str, engine: str, dtype: str) -> Decoder:
    """A decoder of either engine on the CPU."""
    return METHODS[method].load(source, LoadSettings(device="cpu", dtype=dtype, engine=engine)).decoder


def llama_there() -> bool:
    return all(importlib.util.find_spec(name) for name in ("llama_cpp", "gguf"))


def llama(source: ModelSource, method: str, settings: argparse.Namespace, stack: ExitStack) -> Contender:
    """llama.cpp on the source's weights in the type that stands nearest to our method."""
    import llama_cpp

    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    path = folder / "model.gguf"
    write_gguf(source, path, LLAMA_TYPES[method])
    model = llama_cpp.Llama(
        str(path), n_ctx=2048, n_batch=512, n_threads=torch.get_num_threads(), verbose=False, vocab_only=False
    )

    def run(prompt: int, new: int) -> tuple[float, float]:
        model.reset()
        start = time.perf_counter()
        model.eval([7 + i % 900 for i in range(prompt)])
        token, first = best_token(llama_cpp, model), time.perf_counter()
        for _ in range(new - 1):
            model.eval([token])
            token = best_token(llama_cpp, model)
        return first - start, time.perf_counter() - first

    return Contender("llama.cpp", f"{method} ({LLAMA_TYPES[method]})", path.stat().st_size, run, 1)


def best_token(llama_cpp: Any, model: Any) -> int:
    """The most likely next token, by its own logits."""
    pointer = llama_cpp.llama_get_logits_ith(model.ctx, -1)
    row = ctypes.cast(pointer, ctypes.POINTER(ctypes.c_float * model.n_vocab()))
    return int(torch.frombuffer(row.contents, dtype=torch.float32).argmax())


NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def write_gguf(source: ModelSource, path: Path, kind: str) -> None:
    """A Qwen2 model in llama.cpp's file format, with a made-up vocabulary of the right size."""
    import gguf

    config = source.config
    writer = gguf.GGUFWriter(path, "qwen2")
    writer.add_context_length(2048)
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(float(config.get("rope_theta", 1e6)))
    writer.add_vocab_size(config["vocab_size"])
    writer.add_tokenizer_model("none")
    for name in source.names():
        values = source.tensor(name).float().numpy()
        held = kind if values.ndim == 2 else "F32"
        kind_number = gguf.GGMLQuantizationType[held]
        writer.add_tensor(gguf_name(name), gguf.quantize(values, kind_number), raw_dtype=kind_number)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def gguf_name(name: str) -> str:
    """'model.layers.3.mlp.up_proj.weight' -> 'blk.3.ffn_up.weight'."""
    plain = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}
    if name in plain:
        return plain[name]
    if name == "lm_head.weight":
        return "output.weight"
    number, rest = name.removeprefix("model.layers.").split(".", 1)
    stem, field_name = rest.rsplit(".", 1)
    return f"blk.{number}.{NAMES[stem]}.{field_name}"


def show(rows: list[Contender], prefill: int) -> None:
    """The table, with each row's ratio to llama.cpp under the same method."""
    peers = {row.method.split()[0]: row for row in rows if row.engine == "llama.cpp"}
    print(
        "| engine | method | decode tokens/s | prefill tokens/s | weight MB "
        "| decode / llama.cpp | prefill / llama.cpp |"
    )
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        peer = peers.get(row.method.split()[0])
        ratios = ("", "") if peer is None else (peer.step_s / row.step_s, peer.prefill_s / row.prefill_s)
        shown = " | ".join(f"{ratio:.2f}" if isinstance(ratio, float) else "" for ratio in ratios)
        print(
            f"| {row.engine} | {row.method} | {row.batch / row.step_s:,.1f} | {prefill / row.prefill_s:,.0f} "
            f"| {row.weight_bytes / 1e6:,.0f} | {shown} |"
        )


def main() -> None:
    """Parse, load everything, take turns, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="random:qwen2.5-0.5b")
    parser.add_argument("--methods", default="fp16,int8,int4")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16", "float16"))
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--prompt", type=int, default=32)
    parser.add_argument("--new", type=int, default=64)
    parser.add_argument("--prefill", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    settings = parser.parse_args()
    source = open_source(settings.model)
    before = os.getloadavg()[0]
    with ExitStack() as stack:
        rows = list(contenders(source, settings, stack))
        for row in rows:
            row.run(8, 2)
        for _ in range(settings.rounds):
            for row in rows:
                row.measure(settings.prompt, settings.new, settings.prefill)
    read = measure_bandwidth("cpu").read_bytes_per_s
    print(
        f"{settings.model}, batch {settings.batch}, {torch.get_num_threads()} threads, "
        f"prompt {settings.prompt}, {settings.new} new, "
        f"read bandwidth {read / 1e9:.1f} GB/s, other load before {before:.1f}\n"
    )
    show(rows, settings.prefill)


if __name__ == "__main__":
    main()
