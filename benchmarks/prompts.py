"""Time to the first token of every method, prompt length and batch: by captured graphs and by launches.

    python benchmarks/prompts.py
    python benchmarks/prompts.py --model random:llama-3.1-8b --lengths 128,2048 --batches 1

One row per method, batch and length: medians of --repetitions (milliseconds from the requests until each
row's first token is on the host), the spread (nine tenths of the times lie within it, as a share of the
median), and prefill tokens/s with graphs. `launches` pads nothing and captures nothing.
"""

import argparse
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median, quantiles

import torch

from quantbench.decoding import Request
from quantbench.engine.cuda import prompt_graphs
from quantbench.engine.cuda.decoder import CudaDecoder
from quantbench.methods import METHODS, LoadSettings
from quantbench.sources import open_source


def main() -> None:
    options = parse()
    source = open_source(options.model)
    print(f"{options.model} on {torch.cuda.get_device_name(options.device)}, torch {torch.__version__}")
    titles = ("batch", 6), ("tokens", 8), ("graph ms", 10), ("spread", 8), ("launches ms", 13), ("spread", 8)
    print(f"{'method':8s}" + "".join(f"{title:>{width}s}" for title, width in (*titles, ("tokens/s", 12))))
    settings = LoadSettings(
        device=options.device, dtype="float16", engine="native", batch_invariant=options.batch_invariant
    )
    for method in options.methods.split(","):
        decoder = METHODS[method].load(source, settings).decoder
        assert isinstance(decoder, CudaDecoder)
        for batch in numbers(options.batches):
            for length in numbers(options.lengths):
                show(method, decoder, batch, length, options.repetitions)
        del decoder
        torch.cuda.empty_cache()


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default="random:qwen2.5-0.5b")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--methods", default="fp16,int8,int4")
    parser.add_argument("--lengths", default="128,512,2048")
    parser.add_argument("--batches", default="1,64")
    parser.add_argument("--repetitions", type=int, default=30)
    parser.add_argument("--batch-invariant", action="store_true")
    return parser.parse_args()


def numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def show(method: str, decoder: CudaDecoder, batch: int, length: int, repetitions: int) -> None:
    """One row of the table."""
    draw = random.Random(f"{batch}:{length}")
    asked = [
        Request(prompt_ids=tuple(draw.randrange(decoder.vocab_size) for _ in range(length)), max_new_tokens=1)
        for _ in range(batch)
    ]
    by_launches = times_of(decoder, asked, repetitions, graphs=False)
    by_graph = times_of(decoder, asked, repetitions, graphs=True)
    rate = batch * length / median(by_graph)
    row = f"{median(by_graph) * 1e3:10.2f}{spread(by_graph):8.1%}{median(by_launches) * 1e3:13.2f}"
    print(f"{method:8s}{batch:6d}{length:8d}{row}{spread(by_launches):8.1%}{rate:12,.0f}", flush=True)


def spread(times: list[float]) -> float:
    """Width of the middle nine tenths over the median."""
    cuts = quantiles(times, n=20)
    return (cuts[-1] - cuts[0]) / median(times)


def times_of(decoder: CudaDecoder, asked: list[Request], repetitions: int, *, graphs: bool) -> list[float]:
    """Seconds until the first tokens; the first three runs, which compile and capture, are left out."""
    decoder.generate([Request(prompt_ids=(1,), max_new_tokens=1)], batch_size=1)  # another state: no graphs
    with captured(graphs):
        return [first_token_s(decoder, asked) for _ in range(repetitions + 3)][3:]


def first_token_s(decoder: CudaDecoder, asked: list[Request]) -> float:
    """Seconds until every row's first token is on the host."""
    ends: list[float] = []
    began = time.perf_counter()
    decoder.generate(
        asked, batch_size=len(asked), on_first_token=lambda: ends.append(time.perf_counter() - began)
    )
    return ends[0]


@contextmanager
def captured(graphs: bool) -> Iterator[None]:
    """Prompts run padded and captured, or as they are."""
    padded = prompt_graphs.padded
    if not graphs:
        prompt_graphs.padded = lambda size: None  # type: ignore[assignment]
    yield
    prompt_graphs.padded = padded


if __name__ == "__main__":
    main()
