"""Five bits as GGUF's Q5_0 holds them: blocks of 32 inputs, w = (q - 16) * scale with a 16-bit scale.

For each block the scales are tried that put its largest magnitude near the lowest code or near the highest
one, and the best is refined by regression of the weights on their codes. The least squared error wins, each
input counted by its importance (1 for all where none is given). ggml's own scale, which puts the largest
magnitude on the lowest code, is among them: no block is worse than ggml's.
"""

import torch
from torch import Tensor

from quantbench.weights.formats import BlockWeight
from quantbench.weights.formats.block_codes import join_blocks
from quantbench.weights.quantizers.blocks import for_row_blocks, require_finite
from quantbench.weights.quantizers.int4 import to_half

BLOCK = 32
LEAST, MOST = -16, 15
REACHES = (-16.0, -15.5, -15.0, -16.5, -17.0, 15.0, 14.5, 15.5, 16.0)  # where the largest magnitude may lie
REGRESSIONS = 2


def quantize_q5_0(name: str, weight: Tensor, *, importance: Tensor | None = None) -> BlockWeight:
    """BlockWeight of `weight` [out, in], whose width 32 divides; `importance` [in] is not negative.

    ModelError for NaN, infinity, or values that a 16-bit scale cannot hold.
    """
    out, columns = weight.shape
    blocks = columns // BLOCK
    data = torch.empty(out, blocks * 22, dtype=torch.uint8, device=weight.device)
    scale = torch.empty(out, blocks, dtype=torch.float16, device=weight.device)
    root = None
    if importance is not None:
        root = importance.to(weight.device, torch.float32).sqrt().reshape(1, blocks, BLOCK)

    def work(rows: slice, block: Tensor) -> None:
        w = block.reshape(-1, blocks, BLOCK)
        s = search(w, root)
        scale[rows] = s.squeeze(-1)
        found = codes(w, s).sub_(LEAST).to(torch.uint8).reshape(-1, BLOCK)
        head = scale[rows].reshape(-1, 1).view(torch.uint8)
        data[rows] = join_blocks("Q5_0", found, head).reshape(-1, blocks * 22)

    for_row_blocks(weight, work)
    require_finite(name, weight, scale)
    return BlockWeight(data, "Q5_0")


def search(w: Tensor, root: Tensor | None) -> Tensor:
    """Scale [rows, blocks, 1] in float32, as float16 holds it, for w [rows, blocks, 32].

    `root` [1, blocks, 32] is the square root of the importance.
    """
    largest = w.gather(-1, w.abs().argmax(dim=-1, keepdim=True))
    best = to_half(largest / REACHES[0])
    least = error_of(w, root, best)

    def attempt(tried: Tensor) -> None:
        nonlocal best, least
        error = error_of(w, root, tried)
        wins = error < least
        best, least = torch.where(wins, tried, best), torch.where(wins, error, least)

    for reach in REACHES[1:]:
        attempt(to_half(largest / reach))
    for _ in range(REGRESSIONS):
        q = codes(w, best)
        weighted = q if root is None else q * root.square()
        spread = (weighted * q).sum(dim=-1, keepdim=True)
        attempt(to_half((weighted * w).sum(dim=-1, keepdim=True) / spread.clamp_min(1e-20)))
    return best


def codes(w: Tensor, scale: Tensor) -> Tensor:
    """The nearest code less 16, float32 of w's shape; 0 where the scale is 0."""
    inverse = torch.where(scale == 0, 0.0, 1 / scale)
    return (w * inverse).round_().clamp_(LEAST, MOST)


def error_of(w: Tensor, root: Tensor | None, scale: Tensor) -> Tensor:
    """Square root of the weighted squared error of each block, [rows, blocks, 1]."""
    rest = codes(w, scale).mul_(scale).sub_(w)
    if root is not None:
        rest.mul_(root)
    norm: Tensor = torch.linalg.vector_norm(rest, dim=-1, keepdim=True)
    return norm
