"""Every kernel that a run will ask for, compiled before the first is: the passes are made over stand-ins.

Which kernels there are follows from the number of rows and tokens alone, so the passes themselves are asked
at one number of each kind. Launches compile and run nothing meanwhile (`triton.together`).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from quantbench.decoding import Point
from quantbench.engine.cuda.graphs import buckets_of
from quantbench.engine.cuda.operations import StepOperations
from quantbench.engine.cuda.prefill import FEW_HEAD_ROWS, HEAD_ROWS, PromptPass
from quantbench.engine.cuda.products import Products
from quantbench.engine.cuda.prompt_layout import SHORT, PromptSize, padded, views
from quantbench.engine.cuda.state import CACHES, StepState, allocate_state
from quantbench.engine.cuda.triton.rotate import Tables, rotation_tables
from quantbench.engine.cuda.triton_step import TritonStep
from quantbench.engine.parameters import LayerParameters, Parameters
from quantbench.settings import KvFormat

WIDTHS = (16, 32, 64, 128, 192, 256)  # tokens of one product, at most, for each of which there are tiles
POSITIONS = 1024  # of stand-ins: within one chunk of attention


def ask_for_kernels(
    model: Parameters,
    operations: StepOperations,
    points: Sequence[Point],
    *,
    batch_invariant: bool,
    own_rows: int,
    products_of: Callable[[int], Products | None] = lambda rows: None,
    kv: KvFormat | None = None,
) -> None:
    """Ask for the kernels of these points; up to `own_rows` rows have a step of their own.

    `products_of` tells by whom a step's matrices are multiplied at so many rows; None is the tiled kernel.
    """
    few = of_each_kind(model)
    tables = rotation_tables(few.config, 1, model.device)
    prompt_pass = PromptPass(few, operations, batch_invariant=batch_invariant, kv=kv)
    for rows, capacity in sorted(step_shapes(points, own_rows=own_rows)):
        TritonStep(few, stand_in(few, rows, capacity, kv), tables, operations, products_of(rows))()
    scored = any(point.text for point in points)
    for size in sorted(prompt_sizes(points, prompt_pass.few_tokens), key=lambda size: size.tokens):
        ask_for_prompt(few, prompt_pass, tables, size, scored=scored)
    for width in (FEW_HEAD_ROWS, HEAD_ROWS) if scored else ():
        prompt_pass.logits(torch.empty(width, prompt_pass.width, dtype=model.dtype, device=model.device))


def step_shapes(points: Sequence[Point], *, own_rows: int) -> set[tuple[int, int]]:
    """Rows and positions of steps; rows of texts become fewer as they end."""
    found = set()
    for point in points:
        rows = buckets_of(point.rows) if point.text else (point.rows,)
        found |= {(count, point.positions) for count in rows if count > own_rows}
    return found


def prompt_sizes(points: Sequence[Point], few_tokens: int) -> set[PromptSize]:
    """Prompts of each point; of texts one of every kind: cuBLAS multiplies from `few_tokens` on."""
    found = set()
    for point in points:
        size = PromptSize(point.rows * point.prompt_tokens, point.rows, point.prompt_tokens)
        found.add(padded(size) or size)
        if point.text:
            found |= {PromptSize(width, 1, width) for width in WIDTHS}
            found |= {PromptSize(few_tokens, 1, longest) for longest in (SHORT, few_tokens)}
    return {within(size, max(few_tokens, 2 * SHORT)) for size in found}


def within(size: PromptSize, most: int) -> PromptSize:
    """The same kinds of kernels with no more tokens than that."""
    tokens = min(size.tokens, most)
    return PromptSize(tokens, min(size.prompts, tokens), min(size.longest, tokens))


def ask_for_prompt(
    model: Parameters, prompt_pass: PromptPass, tables: Tables, size: PromptSize, *, scored: bool
) -> None:
    """Passes over prompts that hold nothing, and the best tokens behind them; where scored without cache."""
    layout = views(torch.zeros(size.numbers, dtype=torch.int32, device=model.device), size)
    hidden = prompt_pass(layout, tables, stand_in(model, size.prompts, POSITIONS, prompt_pass.kv))
    if scored:
        prompt_pass(layout, tables, None)
    prompt_pass.best(hidden[: size.prompts])


def of_each_kind(model: Parameters) -> Parameters:
    """The model with one layer of each kind: what its kernels are compiled for."""
    windows = model.config.windows
    kinds = {kind_of(layer, windows[number]): number for number, layer in enumerate(model.layers)}
    chosen = sorted(kinds.values())
    config = replace(
        model.config,
        layers=len(chosen),
        windows=tuple(windows[number] for number in chosen),
        ropes=tuple(model.config.ropes[number] for number in chosen),
    )
    return replace(model, config=config, layers=tuple(model.layers[number] for number in chosen))


def kind_of(layer: LayerParameters, window: int | None) -> tuple[object, ...]:
    """What tells layers' kernels apart."""
    matrices = [(weight.format, weight.group_size) for m in layer.matrices for weight in m.weights()]
    biases = [matrix.bias is None for matrix in layer.matrices]
    return window is None, layer.q_norm is None, layer.smoothing is None, *matrices, *biases


def stand_in(model: Parameters, rows: int, capacity: int, kv: KvFormat | None = None) -> StepState:
    """A state whose cache is one position long, however long it says it is."""
    config = model.config
    state = allocate_state(config, rows=rows, capacity=1, dtype=model.dtype, device=model.device, kv=kv)
    long = torch.zeros(rows, capacity, dtype=torch.int32, device=model.device)

    def stretched(cache: Tensor) -> Tensor:
        return cache[:1, :1, :1].expand(config.layers, rows, config.kv_heads, capacity, *cache.shape[4:])

    held = {name: getattr(state, name) for name in CACHES}
    caches = {name: stretched(cache) for name, cache in held.items() if cache is not None}
    return replace(state, output=long, **caches)
