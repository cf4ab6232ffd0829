"""The order in which a packed matrix wants its inputs, so that a thread fetches its weights as whole words.

A tensor core's operand gives each thread of four, c, the inputs 2c, 2c+1, 2c+8 and 2c+9 of every 16: of
packed weights that would be many short fetches. Both operands of a product may be taken in any one order.
Here input p = 4 V c + 4 v + 2 b + h of each run of 16 V lies at place 16 v + 8 h + 2 c + b, so that thread
c's weights of a run are V adjacent words. What computes a product's inputs writes them in this order;
weights stay as they are.
"""

from functools import cache

import torch
from torch import Tensor

from quantbench.engine.cuda.packing import kind_of, operand_of
from quantbench.engine.cuda.triton.language import tl, triton
from quantbench.weights.formats import GpuKind, Weight

NATURAL = 1  # the run of inputs that lie as they are numbered
RUNS = (64, 32, 16)


def interleave_of(weight: Weight) -> int:
    """The run within which a matrix's inputs are interleaved; NATURAL where they are not."""
    if kind_of(weight) in (GpuKind.FLOAT, GpuKind.BLOCKS):  # blocks hold their codes in such an order instead
        return NATURAL
    operand = operand_of(weight)
    if operand.kind is GpuKind.INT4:
        whole = operand.group_size // 2
    else:
        rows = operand.rows
        starts = (rows.data_ptr(), rows.stride(0), rows.shape[1])
        whole = 0 if any(start % 16 for start in starts) else operand.group_size or rows.shape[1]
    return next((run for run in RUNS if whole and whole % run == 0), NATURAL)


@cache
def _inputs_at(run: int) -> Tensor:
    """int64 [run]: which input lies at each place of a run."""
    place = torch.arange(run)
    v, h, c, b = place // 16, place // 8 % 2, place // 2 % 4, place % 2
    return run // 4 * c + 4 * v + 2 * b + h


def interleaved(x: Tensor, run: int) -> Tensor:
    """x [..., inputs] in the order of `run`."""
    if run == NATURAL:
        return x
    return _taken(x, _inputs_at(run))


def deinterleaved(x: Tensor, run: int) -> Tensor:
    """The inverse of `interleaved`."""
    if run == NATURAL:
        return x
    return _taken(x, _inputs_at(run).argsort())


def _taken(x: Tensor, places: Tensor) -> Tensor:
    """Of each run of x, the elements at `places`."""
    parts = x.reshape(*x.shape[:-1], -1, len(places))
    return parts.index_select(-1, places.to(x.device)).reshape(x.shape)


@triton.jit
def place_of(i, RUN: tl.constexpr):
    """Where input i lies; in shifts and masks, since i is not negative."""
    if RUN > 1:
        shift: tl.constexpr = 4 if RUN == 64 else 3 if RUN == 32 else 2
        c, v, h, b = i >> shift & 3, i >> 2 & RUN // 16 - 1, i & 1, i >> 1 & 1
        return (i & -RUN) + (v << 4) + (h << 3) + (c << 1) + b
    return i


@triton.jit
def input_at(i, RUN: tl.constexpr):
    """Which input lies at place i."""
    if RUN > 1:
        shift: tl.constexpr = 4 if RUN == 64 else 3 if RUN == 32 else 2
        c, v, h, b = i >> 1 & 3, i >> 4 & RUN // 16 - 1, i >> 3 & 1, i & 1
        return (i & -RUN) + (c << shift) + (v << 2) + (b << 1) + h
    return i
