"""Four bits, symmetric in groups: w = (q - 8) * scale, the layout of most published 4-bit checkpoints.

For each group the scales that put its largest magnitude at 6.5 to 9.5 steps are tried, and the best one is
refined by regression of the weights on their codes. The least squared error wins, each input counted by its
importance (1 for all where none is given). max|w| / 7 is among them: the result is never worse than rounding.
"""

import torch
from torch import Tensor

from quantbench.weights.formats import Int4Weight
from quantbench.weights.formats.nibbles import pack_pairs
from quantbench.weights.quantizers.blocks import for_row_blocks, require_finite
from quantbench.weights.quantizers.int4 import codes, error_of, to_half

REACHES = (7.0, 6.5, 7.5, 8.0, 8.5, 9.0, 9.5)  # steps at which the largest magnitude may lie
REGRESSIONS = 2


def quantize_int4_symmetric(
    name: str, weight: Tensor, *, group_size: int, importance: Tensor | None = None
) -> Int4Weight:
    """Int4Weight of `weight` [out, in], its zeros 0; `group_size` divides in, `importance` [in] is >= 0.

    ModelError for NaN, infinity, or values that a 16-bit scale cannot hold.
    """
    out, columns = weight.shape
    groups, device = columns // group_size, weight.device
    packed = torch.empty(out, columns // 2, dtype=torch.uint8, device=device)
    scale = torch.empty(out, groups, dtype=torch.float16, device=device)
    root = None
    if importance is not None:
        root = importance.to(device, torch.float32).sqrt().reshape(1, groups, group_size)

    def work(rows: slice, block: Tensor) -> None:
        w = block.reshape(-1, groups, group_size)
        s = search(w, root)
        scale[rows] = s.squeeze(-1)
        packed[rows] = pack_pairs(codes(w, s, torch.zeros_like(s)).add_(8).reshape(-1, columns))

    for_row_blocks(weight, work)
    require_finite(name, weight, scale)
    return Int4Weight(packed, scale, torch.zeros_like(scale))


def search(w: Tensor, root: Tensor | None) -> Tensor:
    """Scale [rows, groups, 1] in float32, as float16 holds it, for w [rows, groups, group_size].

    `root` [1, groups, group_size] is the square root of the importance.
    """
    largest = w.abs().amax(dim=-1, keepdim=True)
    none = torch.zeros_like(largest)
    best = to_half(largest / REACHES[0])
    least = error_of(w, root, best, none)

    def attempt(tried: Tensor) -> None:
        nonlocal best, least
        error = error_of(w, root, tried, none)
        wins = error < least
        best, least = torch.where(wins, tried, best), torch.where(wins, error, least)

    for reach in REACHES[1:]:
        attempt(to_half(largest / reach))
    for _ in range(REGRESSIONS):
        attempt(to_half(regress(w, codes(w, best, none), root)))
    return best


def regress(w: Tensor, q: Tensor, root: Tensor | None) -> Tensor:
    """The scale [rows, groups, 1] of least weighted error for given codes."""
    weighted = q if root is None else q * root.square()
    spread = (weighted * q).sum(dim=-1, keepdim=True)
    return (weighted * w).sum(dim=-1, keepdim=True) / spread.clamp_min(1e-20)
