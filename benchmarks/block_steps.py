"""Decode steps over GGUF blocks of random bits on a GPU: each mixture and layout, by every step that runs it.

    python benchmarks/block_steps.py --model qwen2.5-0.5b --rows 1,4,16,64 --mixtures q8_0,q4_0,q4_k_m
    python benchmarks/block_steps.py --model llama-3.1-8b --rows 1,8 --mixtures fp16,q4_k_m

A step is a captured graph of all layers and the head at a context of --context tokens; tokens/s are rows over
its median time, in turns over --rounds. Layouts: blocks, and rows where a type has them (`whole_rows`).
"""

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from statistics import median
from time import perf_counter

import torch

from few_rows import seconds_of, steps_of
from few_rows_models import CUDA, HALF, random_blocks, random_state
from quantbench.engine.config import read_config
from quantbench.engine.cuda.ahead import of_each_kind, stand_in
from quantbench.engine.cuda.few_rows.launch import FewRowProducts, machine_code
from quantbench.engine.cuda.few_rows.variant import MAX_TOKENS, Variant
from quantbench.engine.cuda.operations import TRITON
from quantbench.engine.cuda.packing import packed_parameters
from quantbench.engine.cuda.persistent.launch import compile_calls
from quantbench.engine.cuda.products import TiledProducts
from quantbench.engine.cuda.triton.rotate import rotation_tables
from quantbench.engine.cuda.triton.together import compile_together
from quantbench.engine.cuda.triton_step import TritonStep
from quantbench.engine.load import ParameterLoader
from quantbench.engine.parameters import Parameters
from quantbench.methods.mixtures import Mixture, pure, q4_k_m
from quantbench.sources import open_source
from quantbench.weights.formats import FloatWeight, Weight

MIXTURES = {
    "q8_0": pure("Q8_0"),
    "q4_0": pure("Q4_0"),
    "q4_k_m": q4_k_m,
    "fp16": lambda config: lambda *_: None,
}


class RandomReader:
    """A WeightReader of random blocks on the device, of about one over the square root of the inputs."""

    def __init__(self, mixture: Mixture) -> None:
        self._mixture = mixture

    def __call__(self, name: str, shape: tuple[int, int], /) -> Weight:
        kind, (out, inputs) = self._mixture(name, shape[1]), shape
        if kind is None:
            return FloatWeight(torch.randn(out, inputs, device=CUDA, dtype=HALF) * inputs**-0.5)
        return random_blocks(kind, out, inputs)

    def stored(self, name: str) -> tuple[str, ...]:
        return (name,)


def models(name: str, mixture: str) -> Iterator[tuple[str, Parameters]]:
    """In each layout that there is."""
    source = open_source(f"random:{name}")
    for layout, as_rows in (("blocks", False), ("rows", True)):
        if as_rows and mixture not in ("q8_0", "q4_0"):
            continue
        torch.manual_seed(5)
        reader = RandomReader(MIXTURES[mixture](source.config))
        loaded = ParameterLoader(source, read_config(source.config), reader, CUDA, HALF).load()
        yield layout, packed_parameters(loaded, as_rows=as_rows)


def compile_all(model: Parameters, counts: list[int], capacity: int) -> None:
    """Every kernel of these numbers of rows, in threads."""
    few, forms = of_each_kind(model), set[Variant]()
    tables = rotation_tables(few.config, 1, CUDA)

    def ask() -> list[Callable[[], object]]:
        for rows in counts:
            tiled = TiledProducts(TRITON, rows, "silu")
            noted = FewRowProducts(tiled, rows, lambda variant, *_: forms.add(variant))
            for products in (tiled, noted) if rows <= MAX_TOKENS else (tiled,):
                TritonStep(few, stand_in(few, rows, capacity), tables, TRITON, products)()
        return [partial(machine_code, form) for form in forms]

    compile_together(ask, compile_calls(model))


def time_steps(options: argparse.Namespace) -> None:
    for mixture in options.mixtures.split(","):
        for layout, model in models(options.model, mixture):
            gigabytes = model.step_bytes(1, 0)[0] / 1e9
            counts = [int(rows) for rows in options.rows.split(",")]
            began = perf_counter()
            compile_all(model, counts, options.context + 256)
            print(f"{mixture} {layout}: compiled in {perf_counter() - began:.1f} s", flush=True)
            for rows in counts:
                state = random_state(model, rows, options.context)
                steps = dict(steps_of(model, state))
                found: dict[str, list[float]] = {step: [] for step in steps}
                for _ in range(options.rounds):
                    for step, run in steps.items():
                        state.positions.fill_(options.context)
                        found[step].append(seconds_of(run, repeats=options.repeats))
                for step, times in found.items():
                    print(
                        f"{options.model} {mixture} {layout} ({gigabytes:.3f} GB) {step} rows {rows}: "
                        f"{rows / median(times):,.0f} tokens/s, {median(times) * 1e6:.0f} us",
                        flush=True,
                    )
                del steps, state
            del model
            torch.cuda.empty_cache()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default="qwen2.5-0.5b")
    parser.add_argument("--mixtures", default="q8_0,q4_0,q4_k_m", help=f"of {', '.join(MIXTURES)}")
    parser.add_argument("--rows", default="1,4,16,64")
    parser.add_argument("--context", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=15)
    with torch.inference_mode():
        time_steps(parser.parse_args())


if __name__ == "__main__":
    main()
