"""K blocks of GGUF (Q4_K, Q5_K, Q6_K): 256 values in sub-blocks whose scales are integers sharing a float16.

The search is that of ggml's reference quantizers (ggml-quants.c), vectorized: candidates of a sub-block's
range, each refined by weighted regression; the one with the least weighted error is kept. Sums are added in
another order than there, so that now and then another candidate of equal error is chosen.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from quantbench.weights.formats import BlockWeight
from quantbench.weights.quantizers.blocks import for_row_blocks

BLOCK = 256
TINY = 1e-15  # a sub-block below it is all zeros


@dataclass(frozen=True, slots=True)
class Search:
    """Candidates of an asymmetric sub-block of 32: its range over `most + least + 0.1 step`."""

    most: int  # the highest code
    least: float
    steps: int


SEARCHES = {"Q4_K": Search(15, -1.0, 21), "Q5_K": Search(31, -0.5, 16)}
SYMMETRIC_STEPS = 9  # candidates of Q6_K either way, 0.1 apart
HALF = 32  # codes of Q6_K are -32 to 31


def quantize_k(weight: Tensor, kind: str) -> BlockWeight:
    """Blocks of a matrix [out, in] on the CPU whose width is a multiple of 256; `kind` is 'Q4_K', ..."""
    pack = q6_k if kind == "Q6_K" else lambda blocks: affine(blocks, kind)
    rows: list[tuple[int, Tensor]] = []

    def work(place: slice, block: Tensor) -> None:
        rows.append((place.start, pack(block.reshape(-1, BLOCK)).reshape(len(block), -1)))

    for_row_blocks(weight, work)
    return BlockWeight(torch.cat([data for _, data in sorted(rows, key=lambda row: row[0])]), kind)


def affine(blocks: Tensor, kind: str) -> Tensor:
    """Q4_K or Q5_K of blocks float32 [n, 256], uint8 [n, 144 or 176]."""
    search = SEARCHES[kind]
    x = blocks.reshape(-1, 8, 32)
    scale, low, codes = searched(x, search)
    d, scales = shared(scale)
    m, minima = shared(low)
    step = d.float()[:, None] * scales
    shift = m.float()[:, None] * minima
    final = ((x + shift[..., None]) / step[..., None]).round().clamp(0, search.most)
    codes = torch.where(step[..., None] == 0, codes, final).to(torch.uint8)
    parts = [halves(d), halves(m), packed_scales(scales, minima)]
    if kind == "Q5_K":
        parts.append(high_bits(codes))
    low_codes = (codes & 15).reshape(-1, 4, 2, 32)
    parts.append((low_codes[:, :, 0] | (low_codes[:, :, 1] << 4)).reshape(-1, 128))
    return torch.cat(parts, dim=1)


def searched(x: Tensor, search: Search) -> tuple[Tensor, Tensor, Tensor]:
    """Scale and minus the minimum [n, 8], codes [n, 8, 32] of sub-blocks x [n, 8, 32]."""
    weight = x.square().mean(dim=-1, keepdim=True).sqrt() + x.abs()
    low, high = x.amin(dim=-1, keepdim=True).clamp(max=0), x.amax(dim=-1, keepdim=True)
    width = high - low
    flat = width == 0
    total, first = weight.sum(-1, keepdim=True), (weight * x).sum(-1, keepdim=True)
    best_scale, best_low = width / search.most, low.clone()
    best_codes = ((search.most / width) * (x - low)).round().clamp(0, search.most)
    best = (weight * (best_scale * best_codes + low - x).square()).sum(-1, keepdim=True)
    for step in range(search.steps):
        inverse = (search.least + 0.1 * step + search.most) / (high - best_low)
        codes = (inverse * (x - best_low)).round().clamp(0, search.most)
        scale, shift, known = regression(x, weight, codes, total, first)
        error = (weight * (scale * codes + shift - x).square()).sum(-1, keepdim=True)
        better = known & (error < best)
        best = torch.where(better, error, best)
        best_scale, best_low = torch.where(better, scale, best_scale), torch.where(better, shift, best_low)
        best_codes = torch.where(better, codes, best_codes)
    zero = torch.zeros_like(width)
    codes = torch.where(flat, zero, best_codes)
    return torch.where(flat, zero, best_scale)[..., 0], -best_low[..., 0], codes


def regression(
    x: Tensor, weight: Tensor, codes: Tensor, total: Tensor, first: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Scale and minimum (at most 0) of least weighted error for given codes, and where there is one."""
    heavy = weight * codes
    ones, squares = heavy.sum(-1, keepdim=True), (heavy * codes).sum(-1, keepdim=True)
    cross = (heavy * x).sum(-1, keepdim=True)
    determinant = total * squares - ones * ones
    scale = (total * cross - first * ones) / determinant
    shift = (squares * first - ones * cross) / determinant
    above = shift > 0
    return torch.where(above, cross / squares, scale), shift.clamp(max=0), determinant > 0


def shared(values: Tensor) -> tuple[Tensor, Tensor]:
    """One float16 for a block and 6-bit integers [n, 8]: their products are near the values [n, 8] >= 0."""
    most = values.amax(dim=-1).clamp(min=0) + 0.0  # of two zeros the positive one
    inverse = torch.where(most > 0, 63 / most, torch.zeros_like(most))
    return (most / 63).half(), (inverse[:, None] * values).round().clamp(0, 63)


def packed_scales(scales: Tensor, minima: Tensor) -> Tensor:
    """Eight 6-bit scales and minima in twelve bytes, in the order of `ggml_blocks.scales_and_mins`."""
    s, m = scales.to(torch.uint8), minima.to(torch.uint8)
    first = s[:, :4] | ((s[:, 4:] >> 4) << 6)
    second = m[:, :4] | ((m[:, 4:] >> 4) << 6)
    return torch.cat((first, second, (s[:, 4:] & 15) | ((m[:, 4:] & 15) << 4)), dim=1)


def high_bits(codes: Tensor) -> Tensor:
    """The fifth bit of each code, sub-block j in bit j: uint8 [n, 32]."""
    bits = torch.arange(8, dtype=torch.uint8).reshape(1, 8, 1)
    return ((codes >> 4) << bits).sum(dim=1, dtype=torch.int32).to(torch.uint8)


def halves(values: Tensor) -> Tensor:
    """float16 [n] as bytes [n, 2]."""
    return values.contiguous().view(torch.uint8).reshape(-1, 2)


def q6_k(blocks: Tensor) -> Tensor:
    """Q6_K of blocks float32 [n, 256], uint8 [n, 210]."""
    x = blocks.reshape(-1, 16, 16)
    scale, codes = symmetric(x)
    place = scale.abs().argmax(dim=-1, keepdim=True)
    largest = scale.gather(-1, place)
    empty = largest.abs() < TINY
    inverse = torch.where(empty, torch.zeros_like(largest), -128 / largest)
    d = torch.where(empty, torch.zeros_like(largest), 1 / inverse).half()
    scales = (inverse * scale).round().clamp(-128, 127)
    step = (d.float() * scales)[..., None]
    final = (x / step).round().clamp(-HALF, HALF - 1) + HALF
    codes = torch.where(step == 0, codes, final)
    codes = torch.where(empty[..., None], torch.zeros_like(codes), codes).to(torch.uint8)
    low, high = codes & 15, codes >> 4
    nibbles = low.reshape(-1, 2, 2, 64)
    quarters = high.reshape(-1, 2, 4, 32)
    shifts = torch.tensor((0, 2, 4, 6), dtype=torch.uint8).reshape(1, 1, 4, 1)
    high_bytes = (quarters << shifts).sum(dim=2, dtype=torch.int32).to(torch.uint8)
    return torch.cat(
        (
            (nibbles[:, :, 0] | (nibbles[:, :, 1] << 4)).reshape(-1, 128),
            high_bytes.reshape(-1, 64),
            scales.to(torch.int8).view(torch.uint8),
            halves(d[:, 0]),
        ),
        dim=1,
    )


def symmetric(x: Tensor) -> tuple[Tensor, Tensor]:
    """Scale [n, 16] and codes plus 32 of sub-blocks x [n, 16, 16]; errors are weighted by x squared."""
    extreme = x.gather(-1, x.abs().argmax(dim=-1, keepdim=True))
    zero, weight = torch.zeros_like(extreme), x.square()
    best, best_scale, best_codes = zero, zero, torch.zeros_like(x)
    for step in (0, *range(-SYMMETRIC_STEPS, 0), *range(1, SYMMETRIC_STEPS + 1)):
        codes = (-(HALF + 0.1 * step) / extreme * x).round().clamp(-HALF, HALF - 1)
        heavy = weight * codes
        cross, squares = (heavy * x).sum(-1, keepdim=True), (heavy * codes).sum(-1, keepdim=True)
        better = (squares > 0) & (cross * cross > best * squares)
        best_scale = torch.where(better, cross / squares, best_scale)
        best = torch.where(better, best_scale * cross, best)
        best_codes = torch.where(better, codes, best_codes)
    empty = extreme.abs() < TINY
    return torch.where(empty, zero, best_scale)[..., 0], torch.where(empty, zero, best_codes) + HALF
