"""Products and decode steps of few rows on a GPU: each form of the kernels checked, then timed beside fp16.

    python benchmarks/few_rows.py --model llama-3.1-8b --products
    python benchmarks/few_rows.py --model qwen2.5-0.5b --rows 1,8 --methods fp16,int4

Weights and caches are random and drawn on the device, outputs are poisoned before each check. A step is a
captured graph of all layers and the head at a context of --context tokens; tokens/s are rows over its median
time. Products are timed over as many different matrices as do not fit into the second-level cache.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import product
from statistics import median

import torch
from torch import Tensor

from few_rows_models import CUDA, HALF, random_matrix, random_model, random_state, random_weight
from quantbench.engine.config import ModelConfig, read_config
from quantbench.engine.cuda.few_rows.launch import few_row_products, launch_product, machine_code, runner_on
from quantbench.engine.cuda.few_rows.variant import SHARED_BYTES, Outcome, Variant, variant_for
from quantbench.engine.cuda.graphs import captured
from quantbench.engine.cuda.nvrtc import CompileError
from quantbench.engine.cuda.operations import TRITON
from quantbench.engine.cuda.persistent.launch import Unsupported, build_persistent_step
from quantbench.engine.cuda.products import TiledProducts
from quantbench.engine.cuda.state import StepState
from quantbench.engine.cuda.triton.interleave import interleave_of, interleaved
from quantbench.engine.cuda.triton.linear import Epilogue, gate_reference, linear_reference, tiled_linear
from quantbench.engine.cuda.triton.rotate import rotation_tables
from quantbench.engine.cuda.triton.tiles import tile_for
from quantbench.engine.cuda.triton_step import TritonStep
from quantbench.engine.parameters import Matrix, Parameters
from quantbench.sources.architectures import ARCHITECTURES

CACHE = 64 << 20  # bytes that a second-level cache holds, at most


def seconds_of(step: Callable[[], object], *, warm: int = 3, repeats: int = 15) -> float:
    """Median time of one call on the device."""
    for _ in range(warm):
        step()
    times = []
    for _ in range(repeats):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        step()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end) / 1e3)
    return median(times)


def distance(found: Tensor, wanted: Tensor) -> float:
    return float((found.double() - wanted.double()).norm() / wanted.double().norm())


def steps_of(model: Parameters, state: StepState) -> Iterator[tuple[str, Callable[[], None]]]:
    """Every step that can run these rows: name, captured step."""
    tables = rotation_tables(model.config, state.capacity, CUDA)
    tiled = TiledProducts(TRITON, state.rows, "silu")
    few = few_row_products(model, tiled, state.rows)
    for name, products in [("tiled", tiled), ("few", few)]:
        if name == "few" and few is tiled:
            continue
        step = TritonStep(model, state, tables, TRITON, products)
        step()
        yield name, captured(step)
    if state.rows <= 4:
        try:
            step = build_persistent_step(model, state)
        except (Unsupported, CompileError) as reason:
            print("persistent:", *[line for line in str(reason).split("\n") if "error" in line][:1])
            return
        step()
        yield "persistent", captured(step)


def time_steps(options: argparse.Namespace, config: ModelConfig) -> None:
    for method in options.methods.split(","):
        model = random_model(config, method)
        weights = model.step_bytes(1, 0)[0]
        for rows in map(int, options.rows.split(",")):
            state = random_state(model, rows, options.context)
            for name, step in steps_of(model, state):
                state.positions.fill_(options.context)
                s = seconds_of(step)
                print(
                    f"{options.model} {method} {name} rows {rows}: {rows / s:,.0f} tokens/s, "
                    f"{s * 1e6:.0f} us, weights at {weights / s / 1e12:.2f} TB/s",
                    flush=True,
                )
            del step
        if method == "int4":
            check_step(model, options.context)
        del model, state
        torch.cuda.empty_cache()


def check_step(model: Parameters, context: int) -> None:
    """The logits of both steps for many rows, which must agree."""
    logits = []
    for name in ("tiled", "few"):
        torch.manual_seed(3)
        state = random_state(model, 8, context, with_logits=True)
        tables = rotation_tables(model.config, state.capacity, CUDA)
        products = TiledProducts(TRITON, 8, "silu")
        if name == "few":
            products = few_row_products(model, products, 8)
        state.logits.fill_(torch.nan)
        TritonStep(model, state, tables, TRITON, products)()
        logits.append(state.logits.clone())
    print(f"logits of 8 rows, few against tiled: {distance(logits[1], logits[0]):.1e}", flush=True)


def shapes_of(config: ModelConfig) -> dict[str, tuple[int, int, Outcome]]:
    hidden, middle = config.hidden_size, config.intermediate_size
    return {
        "qkv": (config.q_size + 2 * config.kv_size, hidden, Outcome.STORE),
        "output": (hidden, config.q_size, Outcome.SUMS),
        "gate_up": (2 * middle, hidden, Outcome.GATE),
        "down": (hidden, middle, Outcome.SUMS),
        "head": (config.vocab_size, hidden, Outcome.BEST),
    }


def candidates(base: Variant, tokens: int) -> Iterator[Variant]:
    """Forms worth trying: enough bytes on their way, room in shared memory."""
    columns = next(count for count in (1, 2, 4) if 8 * count >= tokens)
    for tiles, warps, stages in product((1, 2, 3, 4, 6, 7, 8), (4, 7, 8, 16), (2, 3, 4)):
        form = replace(base, tiles=tiles, columns=columns, warps=warps, stages=stages)
        flight = tiles * warps * (stages - 1) * (SHARED_BYTES // (form.shared_bytes + 1024))
        if flight < 24 or tiles * columns > 16:
            continue
        yield form


def outputs_of(variant: Variant, out: int, tokens: int, slices: int) -> tuple[Tensor, Tensor | None]:
    """Poisoned."""
    if variant.outcome is Outcome.SUMS:
        return torch.full((slices, tokens, out), torch.nan, device=CUDA), None
    if variant.outcome is Outcome.BEST:
        tiles = -(-out // variant.outputs)
        ids = torch.full((tiles, tokens), -7, dtype=torch.int32, device=CUDA)
        return torch.full((tiles, tokens), torch.nan, device=CUDA), ids
    width = out // 2 if variant.outcome is Outcome.GATE else out
    return torch.full((tokens, width), torch.nan, dtype=HALF, device=CUDA), None


def error_of(wanted: Tensor, variant: Variant, out: Tensor, ids: Tensor | None) -> float:
    """Of one product, relative; nan where anything is missing."""
    if variant.outcome is Outcome.SUMS:
        return distance(out.sum(0), wanted)
    if ids is None:
        return distance(out, wanted)
    best = torch.stack([part.amax(1) for part in wanted.split(variant.outputs, dim=1)])
    chosen = wanted.gather(1, ids.gather(0, out.argmax(0, keepdim=True))[0].long()[:, None])[:, 0]
    return max(distance(out, best), distance(chosen, wanted.amax(1)))


@dataclass(frozen=True, slots=True)
class Timed:
    """One form of a product."""

    seconds: float
    variant: Variant
    slices: int
    error: float


def timed(matrices: list[Matrix], x: Tensor, wanted: Tensor, variant: Variant, slices: int) -> Timed:
    run, out = runner_on(CUDA), matrices[0].weight.shape[0]
    y, ids = outputs_of(variant, out, len(x), slices)
    launch_product(run, variant, matrices[0], x, y, ids=ids)
    error = error_of(wanted, variant, y, ids)

    def all_of() -> None:
        for matrix in matrices:
            launch_product(run, variant, matrix, x, y, ids=ids)

    return Timed(seconds_of(captured(all_of), warm=1, repeats=5) / len(matrices), variant, slices, error)


def seconds_tiled(matrices: list[Matrix], x: Tensor, outcome: Outcome) -> float:
    """Of Triton's kernel."""
    ordered = interleaved(x, interleave_of(matrices[0].weight)).contiguous()
    tile, out = tile_for(matrices[0].weight, len(x)), matrices[0].weight.shape[0]
    gated = outcome is Outcome.GATE
    y = torch.empty(len(x), out // 2 if gated else out, dtype=HALF, device=CUDA)

    def all_of() -> None:
        for matrix in matrices:
            tiled_linear(matrix, ordered, y, tile=tile, epilogue=Epilogue.GATE if gated else Epilogue.STORE)

    all_of()
    return seconds_of(captured(all_of), warm=1, repeats=5) / len(matrices)


def compile_all(options: argparse.Namespace, config: ModelConfig) -> None:
    """All forms, in a thread each."""
    weight = random_weight(options.weights, 128, 256)
    forms = {
        variant
        for _, _, outcome in shapes_of(config).values()
        for tokens in map(int, options.rows.split(","))
        for variant in candidates(variant_for(weight, tokens, outcome), tokens)
    }
    began = time.perf_counter()
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(machine_code, forms))
    print(f"{len(forms)} forms compiled in {time.perf_counter() - began:.1f} s", flush=True)


def time_products(options: argparse.Namespace, config: ModelConfig) -> None:
    compile_all(options, config)
    for name, (out, inputs, outcome) in shapes_of(config).items():
        size = random_weight(options.weights, out, 1024).nbytes * inputs // 1024
        matrices = [
            random_matrix(options.weights, out, inputs) for _ in range(max(2, min(150, 3 * CACHE // size)))
        ]
        for tokens in map(int, options.rows.split(",")):
            x = torch.randn(tokens, inputs, device=CUDA, dtype=HALF)
            wanted = (gate_reference if outcome is Outcome.GATE else linear_reference)(matrices[0], x)
            found = [
                timed(matrices, x, wanted, variant, slices)
                for variant in candidates(variant_for(matrices[0].weight, tokens, outcome), tokens)
                for slices in ((1, 2, 4, 8) if outcome is Outcome.SUMS else (1,))
            ]
            before = seconds_tiled(matrices, x, outcome)
            wrong = sum(not form.error < 1e-3 for form in found)
            print(f"{name} [{out}, {inputs}] {tokens} tokens: tiled {before * 1e6:.1f} us; {wrong} wrong")
            for form in sorted(found, key=lambda form: form.seconds)[: options.best]:
                v = form.variant
                print(
                    f"   {form.seconds * 1e6:6.1f} us {size / form.seconds / 1e12:.2f} TB/s tiles {v.tiles} "
                    f"warps {v.warps} stages {v.stages} slices {form.slices} error {form.error:.1e}",
                    flush=True,
                )
        del matrices
        torch.cuda.empty_cache()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default="llama-3.1-8b", help=f"of {', '.join(ARCHITECTURES)}")
    parser.add_argument("--methods", default="fp16,int8,int4")
    parser.add_argument("--rows", default="1,4,8,16")
    parser.add_argument("--context", type=int, default=300)
    parser.add_argument("--best", type=int, default=6, help="forms of a product that are printed")
    parser.add_argument("--weights", default="int4", help="of --products: int4 or a GGUF type")
    parser.add_argument("--products", action="store_true", help="time forms of each product, not steps")
    options = parser.parse_args()
    config = read_config(ARCHITECTURES[options.model])
    with torch.inference_mode():
        (time_products if options.products else time_steps)(options, config)


if __name__ == "__main__":
    main()
