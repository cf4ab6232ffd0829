"""Four bits with double quantization: the search of `int4`, then its scales and zeros in 8 bits.

A row's float32 scale makes its widest group's step at most 255 and reaches its farthest zero. It is a power
of two or one and a half of one: then a group's step and its lowest value, which are such a scale times an
integer of 8 and 9 bits, are exact in 16 bits, and GGUF's Q4_1 holds the same weights. (A row whose groups
are constant keeps the exact one.) Of each group's step
the nearest integer and those beside it are tried, with the zero of the search and with the mean of what
the codes leave over; of all these the least weighted squared error wins.
"""

import torch
from torch import Tensor

from quantbench.weights.formats import Int4DoubleWeight
from quantbench.weights.formats.int4_double import ZERO_BIAS, ZERO_STEP
from quantbench.weights.formats.nibbles import pack_pairs
from quantbench.weights.quantizers.blocks import for_row_blocks, require_finite
from quantbench.weights.quantizers.int4 import Candidate, better, codes, error_of, search

MOST_STEP, MOST_ZERO = 255, 127
BESIDE = (0, -1, 1)  # steps that are tried, from the nearest on


def quantize_int4_double(
    name: str, weight: Tensor, *, group_size: int, importance: Tensor | None = None
) -> Int4DoubleWeight:
    """Int4DoubleWeight of `weight` [out, in]; `group_size` divides in, `importance` [in] is not negative.

    ModelError for NaN or infinity.
    """
    out, columns = weight.shape
    groups, device = columns // group_size, weight.device
    packed = torch.empty(out, columns // 2, dtype=torch.uint8, device=device)
    affine = torch.empty(out, groups, 2, dtype=torch.uint8, device=device)
    scale = torch.empty(out, dtype=torch.float32, device=device)
    root = None
    if importance is not None:
        root = importance.to(device, torch.float32).sqrt().reshape(1, groups, group_size)

    def work(rows: slice, block: Tensor) -> None:
        w = block.reshape(-1, groups, group_size)
        by_row, step, zero = double_search(w, root)
        affine[rows] = torch.cat((step, zero + ZERO_BIAS), dim=-1).to(torch.uint8)
        scale[rows] = by_row.reshape(-1)
        q = codes(w, step * by_row, zero * (ZERO_STEP * by_row))
        packed[rows] = pack_pairs(q.add_(8).reshape(-1, columns))

    for_row_blocks(weight, work)
    require_finite(name, weight, scale)
    return Int4DoubleWeight(packed, affine, scale)


def double_search(w: Tensor, root: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """The row's scale [rows, 1, 1], step and zero [rows, groups, 1] as integers held in float32."""
    step, zero = search(w, root, lambda value: value)
    by_row = scale_of_rows(step, zero)
    return (by_row, *held_in(w, root, by_row, step, zero))


def scale_of_rows(step: Tensor, zero: Tensor) -> Tensor:
    """[rows, 1, 1] under which all steps and zeros [rows, groups, 1] fit 8 bits."""
    widest = step.amax(1, keepdim=True)
    by_row = torch.maximum(widest / MOST_STEP, zero.abs().amax(1, keepdim=True) / (ZERO_STEP * MOST_ZERO))
    return torch.where(widest > 0, coarse(by_row), by_row)


def coarse(scale: Tensor) -> Tensor:
    """The least power of two, or one and a half of one, not below each; 0 and what is not finite stay."""
    mantissa, exponent = torch.frexp(scale)  # [0.5, 1)
    rounded = torch.where(mantissa <= 0.5, 0.5, torch.where(mantissa <= 0.75, 0.75, 1.0))
    return torch.where((scale == 0) | ~scale.isfinite(), scale, torch.ldexp(rounded, exponent))


def held_in(
    w: Tensor, root: Tensor | None, by_row: Tensor, step: Tensor, zero: Tensor
) -> tuple[Tensor, Tensor]:
    """Step and zero [rows, groups, 1] in 8 bits under the row's scale, from those found without a bound."""
    inverse = torch.where(by_row == 0, 0.0, 1 / by_row)
    nearest = (step * inverse).round_()
    best = None
    for beside in BESIDE:
        tried = (nearest + beside).clamp_(0, MOST_STEP)
        left_over = mean_of(w - codes(w, tried * by_row, zero) * (tried * by_row), root)
        for middle in (zero, left_over):
            integer = (middle * (inverse / ZERO_STEP)).round_().clamp_(-MOST_ZERO - 1, MOST_ZERO)
            error = error_of(w, root, tried * by_row, integer * (ZERO_STEP * by_row))
            found: Candidate = (error, tried, integer)
            best = found if best is None else better(best, found)
    assert best is not None
    return best[1], best[2]


def mean_of(values: Tensor, root: Tensor | None) -> Tensor:
    """Mean of each group [rows, groups, 1], weighted by the importance; plain where a group has none."""
    if root is None:
        return values.mean(dim=-1, keepdim=True)
    h = root.square()
    total = h.sum(dim=-1, keepdim=True)
    h = torch.where(total == 0, 1.0, h)
    return (values * h).sum(dim=-1, keepdim=True) / h.sum(dim=-1, keepdim=True)
