"""Four bits: asymmetric in groups with a search for scale and zero, and the naive symmetric rounding.

The search minimises, for each group of a row by itself, sum_j (w_j - w'_j)^2 h_j, where w' is what
`Int4Weight.dequantize` gives back, its 16-bit scale and zero included, and h_j is the importance of input j
(1 for all where none is given). Candidates are the group's range, cut at either end independently by 0, 3.5
and 7 % of its width, of which the best is then refined by regression of the weights on their codes. The full
range is among the candidates, so the result is never worse than plain rounding.
"""

from collections.abc import Callable
from itertools import product

import torch
from torch import Tensor

from quantbench.weights.formats import Int4Weight
from quantbench.weights.formats.nibbles import pack_pairs
from quantbench.weights.quantizers.blocks import for_row_blocks, require_finite

CUTS = (0.0, 0.035, 0.07)  # of the range's width
REGRESSIONS = 2
LEVELS = 15  # steps between the lowest and the highest code
Candidate = tuple[Tensor, Tensor, Tensor]  # error, scale, zero: each [rows, groups, 1]


def quantize_int4(
    name: str, weight: Tensor, *, group_size: int, importance: Tensor | None = None
) -> Int4Weight:
    """Int4Weight of `weight` [out, in]; `group_size` divides in, `importance` [in] is not negative.

    ModelError for NaN, infinity, or values that a 16-bit zero point cannot hold.
    """
    out, columns = weight.shape
    groups = columns // group_size
    device = weight.device
    packed = torch.empty(out, columns // 2, dtype=torch.uint8, device=device)
    scale = torch.empty(out, groups, dtype=torch.float16, device=device)
    zero = torch.empty(out, groups, dtype=torch.float16, device=device)
    root = None
    if importance is not None:
        root = importance.to(device, torch.float32).sqrt().reshape(1, groups, group_size)

    def work(rows: slice, block: Tensor) -> None:
        w = block.reshape(-1, groups, group_size)
        s, z = search(w, root, to_half)
        scale[rows], zero[rows] = s.squeeze(-1), z.squeeze(-1)
        packed[rows] = pack_pairs(codes(w, s, z).add_(8).reshape(-1, columns))

    for_row_blocks(weight, work)
    require_finite(name, weight, scale, zero)
    return Int4Weight(packed, scale, zero)


def round_int4(name: str, weight: Tensor) -> Int4Weight:
    """The naive way: one symmetric scale per output channel, max|w| / 7, round to nearest, zero 0.

    `weight` [out, in] becomes an Int4Weight whose only group is the whole row.
    """
    out, columns = weight.shape
    packed = torch.empty(out, columns // 2, dtype=torch.uint8, device=weight.device)
    scale = torch.empty(out, 1, dtype=torch.float16, device=weight.device)

    def work(rows: slice, block: Tensor) -> None:
        s = (block.abs().amax(dim=1, keepdim=True) / 7).half().float()
        scale[rows] = s
        packed[rows] = pack_pairs(codes(block, s, torch.zeros_like(s)).add_(8))

    for_row_blocks(weight, work)
    require_finite(name, weight, scale)
    return Int4Weight(packed, scale, torch.zeros_like(scale))


def search(w: Tensor, root: Tensor | None, held: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """Scale and zero [rows, groups, 1] in float32 for w [rows, groups, group_size].

    `root` [1, groups, group_size] is the square root of the importance; `held` rounds a scale or a zero to
    what the format holds of it.
    """
    low, high = w.amin(dim=-1, keepdim=True), w.amax(dim=-1, keepdim=True)
    width = high - low

    def candidate(scale: Tensor, zero: Tensor) -> Candidate:
        scale, zero = held(scale), held(zero)
        return error_of(w, root, scale, zero), scale, zero

    best = candidate(width / LEVELS, low + width * (8 / LEVELS))
    for lower, upper in list(product(CUTS, CUTS))[1:]:
        step = width * ((1 - lower - upper) / LEVELS)
        best = better(best, candidate(step, low + width * lower + 8 * step))
    for _ in range(REGRESSIONS):
        best = better(best, candidate(*regress(w, codes(w, best[1], best[2]), root)))
    return best[1], best[2]


def to_half(value: Tensor) -> Tensor:
    """Rounded to 16 bits, in float32."""
    return value.half().float()


def better(best: Candidate, other: Candidate) -> Candidate:
    """Group by group the one with the smaller error."""
    wins = other[0] < best[0]
    return (
        torch.where(wins, other[0], best[0]),
        torch.where(wins, other[1], best[1]),
        torch.where(wins, other[2], best[2]),
    )


def error_of(w: Tensor, root: Tensor | None, scale: Tensor, zero: Tensor) -> Tensor:
    """Square root of the weighted squared error of each group, [rows, groups, 1]."""
    rest = codes(w, scale, zero).mul_(scale).add_(zero).sub_(w)
    if root is not None:
        rest.mul_(root)
    norm: Tensor = torch.linalg.vector_norm(rest, dim=-1, keepdim=True)
    return norm


def codes(w: Tensor, scale: Tensor, zero: Tensor) -> Tensor:
    """The nearest of the sixteen codes, minus 8, as float32 of w's shape; 0 where the scale is 0."""
    inverse = torch.where(scale == 0, 0.0, 1 / scale)
    return (w - zero).mul_(inverse).round_().clamp_(-8, 7)


def regress(w: Tensor, q: Tensor, root: Tensor | None) -> tuple[Tensor, Tensor]:
    """Scale and zero [rows, groups, 1] that minimise the weighted error for given codes q."""
    h = torch.ones_like(w[:1]) if root is None else root.square()
    total = h.sum(dim=-1, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)
    q_mean = (q * h).sum(dim=-1, keepdim=True) / total
    w_mean = (w * h).sum(dim=-1, keepdim=True) / total
    centred = q - q_mean
    spread = (centred.square().mul_(h)).sum(dim=-1, keepdim=True)
    scale = (centred.mul_(h) * (w - w_mean)).sum(dim=-1, keepdim=True) / spread.clamp_min(1e-20)
    return scale, w_mean - scale * q_mean
