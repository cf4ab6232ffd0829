"""Decoding speed of every method in one run: our engine, transformers eager beside it, other peers on wish.

    python benchmarks/decode.py --model random:qwen2.5-0.5b --device cuda:0 --batches 1,8,64,164

One row per method and batch: tokens/s after the first token (forced lengths, median of the repetitions), the
share of the bandwidth measured in this process (mbu), the allocator's peak while running (GB), prefill
tokens/s, and the relative error of teacher-forced logits against transformers in float32 with the same
weights (a quantized method's error is its own loss, not the kernels'). Nothing is written to disk.
"""

import argparse
import gc
import importlib.util
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median

import torch

from quantbench.decoding import Decoder, Request
from quantbench.measure import measure_bandwidth
from quantbench.methods import METHODS, LoadSettings
from quantbench.sources import ModelSource, open_source
from quantbench.transformers_decoder import load_transformers_model

PEERS = ("transformers", "bitsandbytes", "torchao")
ERROR_TOKENS = 96  # of the text whose logits are compared


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table; None was not measured."""

    engine: str
    method: str
    batch: int
    context: int  # tokens in the middle of the decode
    decode_tokens_per_s: float
    prefill_tokens_per_s: float
    mbu: float | None
    peak_bytes: int | None
    error: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """Prompts of `shortest` to `longest` tokens, `new` tokens each."""

    shortest: int
    longest: int
    new: int
    repetitions: int

    def requests(self, decoder: Decoder, batch: int) -> list[Request]:
        draw = random.Random(f"{batch}:{self.longest}")
        return [
            Request(
                prompt_ids=tuple(
                    draw.randrange(decoder.vocab_size)
                    for _ in range(draw.randint(self.shortest, self.longest))
                ),
                max_new_tokens=self.new,
            )
            for _ in range(batch)
        ]


def main() -> None:
    options = parse()
    source = open_source(options.model)
    bandwidth = measure_bandwidth(options.device)
    rate = bandwidth.read_bytes_per_s / 1e12
    print(f"{options.model} on {device_name(options.device)}: reads {rate:.2f} TB/s")
    low, _, high = options.prompt.partition("-")
    lengths = Lengths(
        shortest=int(low), longest=int(high or low), new=options.new, repetitions=options.repetitions
    )
    exact = None if options.no_error else exact_logits(source, options.device)
    print_heading()
    for engine, method in entries(options.methods.split(","), options.peers.split(",")):
        load = METHODS[method].load
        for row in measure(
            lambda load=load, engine=engine: load(
                source, LoadSettings(device=options.device, dtype=options.dtype, engine=engine)
            ).decoder,
            (engine, method),
            [int(batch) for batch in options.batches.split(",")],
            lengths,
            bandwidth.read_bytes_per_s,
            exact,
        ):  # fmt: skip
            print_row(row)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default="random:qwen2.5-0.5b")
    parser.add_argument("--device", default="cuda:0" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", default="float16")
    parser.add_argument("--methods", default="fp16,int8,int4")
    parser.add_argument("--peers", default="transformers", help=f"of {', '.join(PEERS)}; '' for none")
    parser.add_argument("--batches", default="1,8,64,164")
    parser.add_argument("--prompt", default="100-200", help="tokens of a prompt: N or N-M")
    parser.add_argument("--new", type=int, default=256, help="new tokens of each row")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--no-error", action="store_true", help="skip the comparison with float32")
    return parser.parse_args()


def entries(methods: Sequence[str], peers: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(engine, method) of every row group: ours, then the peers that are installed."""
    yield from (("native", method) for method in methods)
    for peer in filter(None, peers):
        if importlib.util.find_spec(peer) is None:
            print(f"({peer} is not installed: left out)")
        elif peer == "transformers":
            yield "transformers", "fp16"
        else:
            prefix = {"bitsandbytes": "bnb", "torchao": "torchao"}[peer]
            yield from (("transformers", name) for name in METHODS if name.startswith(prefix))


def measure(
    load: Callable[[], Decoder],
    names: tuple[str, str],
    batches: Sequence[int],
    lengths: Lengths,
    bandwidth: float,
    exact: tuple[list[int], torch.Tensor] | None,
) -> Iterator[Row]:
    decoder = load()
    error = None if exact is None else relative_error(decoder, *exact)
    cuda = decoder.device.startswith("cuda")
    for batch in batches:
        requests = lengths.requests(decoder, batch)
        run(decoder, requests)
        if cuda:
            torch.cuda.reset_peak_memory_stats()
        times = [run(decoder, requests) for _ in range(lengths.repetitions)]
        first = median(time[0] for time in times)
        rest = median(time[1] for time in times)
        prompt_tokens = sum(len(request.prompt_ids) for request in requests)
        context = prompt_tokens // batch + lengths.new // 2
        step_s = rest / (lengths.new - 1)
        yield Row(
            engine=names[0],
            method=names[1],
            batch=batch,
            context=context,
            decode_tokens_per_s=batch / step_s,
            prefill_tokens_per_s=prompt_tokens / first,
            mbu=sum(decoder.step_bytes(batch, context)) / step_s / bandwidth,
            peak_bytes=torch.cuda.max_memory_allocated() if cuda else None,
            error=error,
        )
    del decoder
    gc.collect()
    if cuda:
        torch.cuda.empty_cache()


def run(decoder: Decoder, requests: Sequence[Request]) -> tuple[float, float]:
    """Seconds to the first token of every row, and from there to the last."""
    marks = []
    decoder.synchronize()
    start = time.perf_counter()
    decoder.generate(
        requests, batch_size=len(requests), on_first_token=lambda: marks.append(time.perf_counter())
    )
    decoder.synchronize()
    return marks[0] - start, time.perf_counter() - marks[0]


def exact_logits(source: ModelSource, device: str) -> tuple[list[int], torch.Tensor]:
    """A text of random tokens and its logits by transformers in float32, on the CPU."""
    model = load_transformers_model(source, dtype="float32").to(device)
    draw = random.Random(0)
    text = [draw.randrange(source.config["vocab_size"]) for _ in range(ERROR_TOKENS)]
    with torch.no_grad():
        logits = model(torch.tensor([text], device=device)).logits[0].float().cpu()
    del model
    gc.collect()
    if device.startswith("cuda"):
        torch.cuda.empty_cache()
    return text, logits


def relative_error(decoder: Decoder, text: list[int], exact: torch.Tensor) -> float:
    """Norm of the difference over the norm of the exact logits."""
    (found,) = decoder.score([text])
    return float((found.cpu() - exact).norm() / exact.norm())


def device_name(device: str) -> str:
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else "CPU"


def print_heading() -> None:
    print(
        f"{'engine':13} {'method':10} {'batch':>5} {'context':>7} {'decode tok/s':>12} {'mbu':>6} "
        f"{'prefill tok/s':>13} {'peak GB':>8} {'error':>9}"
    )


def print_row(row: Row) -> None:
    mbu = "-" if row.mbu is None else f"{row.mbu:.1%}"
    peak = "-" if row.peak_bytes is None else f"{row.peak_bytes / 1e9:.3f}"
    error = "-" if row.error is None else f"{row.error:.2e}"
    print(
        f"{row.engine:13} {row.method:10} {row.batch:5d} {row.context:7d} {row.decode_tokens_per_s:12,.0f} "
        f"{mbu:>6} {row.prefill_tokens_per_s:13,.0f} {peak:>8} {error:>9}",
        flush=True,
    )


if __name__ == "__main__":
    main()
