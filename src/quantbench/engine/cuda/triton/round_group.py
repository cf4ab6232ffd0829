"""One group of error feedback: column after column is rounded, its error spread over those behind.

In plain torch that is eight launches a column. A program holds some rows of a group in registers; a column of
the triangle is read once for all of them. The reference is `quantizers.feedback.round_group`.
"""

from torch import Tensor

from quantbench.engine.cuda.triton.language import tl, triton
from quantbench.engine.cuda.triton.launch import on_device

ROWS = 16  # a program: 64 columns of w, codes and errors then take 96 registers of each thread of a warp


def round_group_triton(
    w: Tensor, spread: Tensor, scale: Tensor, offset: Tensor, ends: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """As `round_group`; all float32, columns of w [rows, group] and of spread side by side."""
    rows, size = w.shape
    codes, errors = w.new_empty(rows, size), w.new_empty(rows, size)
    with on_device(w.device):
        _round_group[(triton.cdiv(rows, ROWS),)](
            w, spread, scale, offset, codes, errors, rows, w.stride(0), spread.stride(0),
            LEAST=ends[0], MOST=ends[1], SIZE=size, ROWS=ROWS, num_warps=1,
        )  # fmt: skip
    return codes, errors


@triton.jit
def _round_group(
    w,
    spread,
    scale,
    offset,
    codes,
    errors,
    rows,
    stride,
    spread_stride,
    LEAST: tl.constexpr,
    MOST: tl.constexpr,
    SIZE: tl.constexpr,
    ROWS: tl.constexpr,
):
    n = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    there = n < rows
    column = tl.arange(0, SIZE)
    tile = there[:, None] & (column[None, :] >= 0)
    left = tl.load(w + n[:, None] * stride + column[None, :], mask=tile, other=0.0)
    s = tl.load(scale + n, mask=there, other=0.0)
    o = tl.load(offset + n, mask=there, other=0.0)
    inverse = tl.where(s == 0, 0.0, 1 / s)
    found = tl.zeros((ROWS, SIZE), dtype=tl.float32)
    spilt = tl.zeros((ROWS, SIZE), dtype=tl.float32)
    for j in range(SIZE):
        mine = column[None, :] == j
        x = tl.sum(tl.where(mine, left, 0.0), axis=1)
        q = (x - o) * inverse
        q = (
            tl.minimum(tl.maximum(q, LEAST), MOST) + 12582912.0
        ) - 12582912.0  # to the nearest, halves to even
        error = (x - q * s - o) / tl.load(spread + j * spread_stride + j)
        row = tl.load(spread + j * spread_stride + column, mask=column > j, other=0.0)
        left -= error[:, None] * row[None, :]
        found = tl.where(mine, q[:, None], found)
        spilt = tl.where(mine, error[:, None], spilt)
    at = n[:, None] * SIZE + column[None, :]
    tl.store(codes + at, found, mask=tile)
    tl.store(errors + at, spilt, mask=tile)
