"""Four bits with whole zero points in groups: w = (q - z) * scale, z among 1 to 15.

What asymmetric GPTQ, AWQ and compressed-tensors checkpoints hold. Scales have 7 significant bits, off by less
than 0.8 % of a scale: then (8 - z) * scale and -z * scale are exact in 16 bits, so that Int4Weight, those
layouts and GGUF's Q4_1 hold the same values, and float16 holds each of them. (Zero points from 1 on, since
GPTQ's layout stores them less one.)

Candidates are a group's range, 0 included, cut at either end as in `int4`; the best is refined by zero points
beside it and by regression of the weights on their codes. The least squared error wins, each input counted by
its importance (1 for all where none is given); plain rounding of the range is among them.
"""

from itertools import product

import torch
from torch import Tensor

from quantbench.weights.formats import Int4Weight
from quantbench.weights.formats.nibbles import pack_pairs
from quantbench.weights.quantizers.blocks import for_row_blocks, require_finite
from quantbench.weights.quantizers.int4 import CUTS, LEVELS, Candidate, better, codes, error_of, to_half

SCALE_BITS = 7  # significant ones
MIDDLE, LEAST_ZERO, MOST_ZERO = 8, 1, 15
ROUNDS = 2


def quantize_int4_asymmetric(
    name: str, weight: Tensor, *, group_size: int, importance: Tensor | None = None
) -> Int4Weight:
    """Int4Weight of `weight` [out, in], its zeros whole numbers of steps; `group_size` divides in,
    `importance` [in] is not negative.

    ModelError for NaN, infinity, or values that a 16-bit scale cannot hold.
    """
    out, columns = weight.shape
    groups, device = columns // group_size, weight.device
    packed = torch.empty(out, columns // 2, dtype=torch.uint8, device=device)
    scale = torch.empty(out, groups, dtype=torch.float16, device=device)
    zero = torch.empty_like(scale)
    root = None
    if importance is not None:
        root = importance.to(device, torch.float32).sqrt().reshape(1, groups, group_size)

    def work(rows: slice, block: Tensor) -> None:
        w = block.reshape(-1, groups, group_size)
        s, z = search(w, root)
        scale[rows], zero[rows] = s.squeeze(-1), z.squeeze(-1)
        packed[rows] = pack_pairs(codes(w, s, z).add_(8).reshape(-1, columns))

    for_row_blocks(weight, work)
    require_finite(name, weight, scale, zero)
    return Int4Weight(packed, scale, zero)


def search(w: Tensor, root: Tensor | None) -> tuple[Tensor, Tensor]:
    """Scale and zero (8 - z) * scale [rows, groups, 1] in float32, as float16 holds them.

    w [rows, groups, group_size]; `root` [1, groups, group_size] is the square root of the importance.
    """
    low, high = w.amin(dim=-1, keepdim=True).clamp_max(0), w.amax(dim=-1, keepdim=True).clamp_min(0)
    width = high - low

    def candidate(scale: Tensor, zero_point: Tensor) -> Candidate:
        scale = held_scale(scale.clamp_min(0))
        zero = (MIDDLE - zero_point.clamp(LEAST_ZERO, MOST_ZERO)) * scale
        return error_of(w, root, scale, zero), scale, zero

    best: Candidate | None = None
    for lower, upper in product(CUTS, CUTS):
        step = width * ((1 - lower - upper) / LEVELS)
        found = candidate(step, zero_point_of(step, low + width * lower))
        best = found if best is None else better(best, found)
    assert best is not None
    for _ in range(ROUNDS):
        middle = zero_point_of(best[1], best[2] - MIDDLE * best[1])
        for beside in (-1, 0, 1):
            zero_point = (middle + beside).clamp(LEAST_ZERO, MOST_ZERO)
            best = better(best, candidate(regress(w, best, zero_point, root), zero_point))
    return best[1], best[2]


def zero_point_of(step: Tensor, lowest: Tensor) -> Tensor:
    """The whole number of steps from the lowest value to 0; the middle where there is no step."""
    return torch.where(step == 0, MIDDLE, (-lowest / step).round())


def held_scale(scale: Tensor) -> Tensor:
    """To SCALE_BITS significant bits, as float16 holds it."""
    mantissa, exponent = torch.frexp(scale)
    return to_half(torch.ldexp((mantissa * (1 << SCALE_BITS)).round(), exponent - SCALE_BITS))


def regress(w: Tensor, best: Candidate, zero_point: Tensor, root: Tensor | None) -> Tensor:
    """The scale [rows, groups, 1] of least weighted error for the codes that the best step gives about
    `zero_point`."""
    scale = best[1]
    steps = codes(w, scale, (MIDDLE - zero_point) * scale) + (MIDDLE - zero_point)
    weighted = steps if root is None else steps * root.square()
    spread = (weighted * steps).sum(dim=-1, keepdim=True)
    return (weighted * w).sum(dim=-1, keepdim=True) / spread.clamp_min(1e-20)
