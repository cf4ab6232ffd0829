"""A whole packed matrix as activations, for prompts: cuBLAS multiplies it, and the buffer is used again.

With thousands of tokens the product takes a hundred times longer than this pass.
"""

import torch
from torch import Tensor

from quantbench.engine.cuda.packing import operand_of
from quantbench.engine.cuda.triton.block_rows import block_rows
from quantbench.engine.cuda.triton.language import tl, triton
from quantbench.engine.cuda.triton.launch import over
from quantbench.engine.cuda.triton.unpack import affine_of
from quantbench.weights.formats import GpuKind, MixedWeight, Weight


def dequantize_reference(weight: Weight, out: Tensor) -> None:
    """out [rows, in] in activations."""
    out.copy_(weight.dequantize())


@triton.jit
def _dequantize(
    w, words, scale, out, rows, width, row_bytes,
    GROUP: tl.constexpr, DOUBLE: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    row = (tl.program_id(0) * ROWS + tl.arange(0, ROWS)).to(tl.int64)[:, None]
    i = (tl.program_id(1) * BLOCK + tl.arange(0, BLOCK))[None, :]  # bytes: two inputs half a group apart
    HALF: tl.constexpr = GROUP // 2
    inside = (row < rows) & (i < width // 2)
    byte = tl.load(w + row * row_bytes + i, mask=inside, other=0).to(tl.int32)
    group = i // HALF
    affine = words + row * (row_bytes // 4) + width // 8 + group
    factor, zero, more, more_zero = affine_of(tl.load(affine, mask=inside, other=0), DOUBLE)
    at = out + row * width + group * GROUP + i % HALF
    low = ((byte & 15) - 8).to(tl.float32) * factor.to(tl.float32) + zero.to(tl.float32)
    high = ((byte >> 4) - 8).to(tl.float32) * more.to(tl.float32) + more_zero.to(tl.float32)
    if DOUBLE:
        by_row = tl.load(scale + row, mask=row < rows, other=0)
        low, high = low * by_row, high * by_row
    tl.store(at, low.to(out.dtype.element_ty), mask=inside)
    tl.store(at + HALF, high.to(out.dtype.element_ty), mask=inside)


def dequantize(weight: Weight, out: Tensor) -> None:
    """`dequantize_reference` on the device, for packed weights and mixtures.

    Several rows a block keep enough reads in flight; 8-bit ones are left to torch, whose launch costs the
    host less.
    """
    if isinstance(weight, MixedWeight):
        start = 0
        for part in weight.parts:
            dequantize(part, out[start : start + part.shape[0]])
            start += part.shape[0]
        return
    if weight.is_float:
        out.copy_(weight.as_dtype(out.dtype))
        return
    operand = operand_of(weight)
    if operand.kind is GpuKind.BLOCKS:
        block_rows(weight, out)
        return
    data, scale = operand.rows, operand.scale
    if operand.kind is GpuKind.INT8 and scale is not None:
        groups = operand.group_size or data.shape[1]
        torch.mul(
            data.view(len(data), -1, groups),
            scale.view(len(data), -1, 1),
            out=out.view(len(data), -1, groups),
        )
        return
    rows, width = out.shape
    height, block = 8, 512
    grid = (triton.cdiv(rows, height), triton.cdiv(width // 2, block))
    over(_dequantize, grid)(
        data, operand.words, scale, out, rows, width, data.stride(0),
        GROUP=operand.group_size, DOUBLE=operand.double, ROWS=height, BLOCK=block, num_warps=4,
    )  # fmt: skip
