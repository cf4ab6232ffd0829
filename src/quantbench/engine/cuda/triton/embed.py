"""The embedding of tokens: rows of the packed matrix, dequantized as they are read."""

import torch
from torch import Tensor

from quantbench.engine.cuda.packing import operand_of
from quantbench.engine.cuda.triton.block_rows import block_rows
from quantbench.engine.cuda.triton.language import gdc_launch_dependents, gdc_wait, tl, triton
from quantbench.engine.cuda.triton.launch import dependent_launch, next_power_of_2, over
from quantbench.engine.cuda.triton.unpack import INT4, INT8, affine_of
from quantbench.engine.parameters import Matrix
from quantbench.weights.formats import GpuKind


def embed_reference(matrix: Matrix, tokens: Tensor, out: Tensor) -> None:
    """tokens int32 [rows]; out [rows, width]. A token that the matrix does not have counts as token 0."""
    known = (tokens >= 0) & (tokens < matrix.weight.shape[0])
    out.copy_(matrix.weight.dequantize(torch.where(known, tokens, 0).long()))


@triton.jit
def _embed(
    w, words, scale, tokens, out, vocabulary, width, w_stride, scale_stride, SCHEME: tl.constexpr,
    GROUP: tl.constexpr, DOUBLE: tl.constexpr, BLOCK: tl.constexpr, DEPENDENT: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    i = tl.arange(0, BLOCK)
    inside = i < width
    if DEPENDENT:
        gdc_launch_dependents()
        gdc_wait()
    token = tl.load(tokens + row).to(tl.int64)
    token = tl.where((token >= 0) & (token < vocabulary), token, 0)
    if SCHEME == INT4:
        HALF: tl.constexpr = GROUP // 2
        group = i // GROUP
        high = (i % GROUP) // HALF
        byte = tl.load(w + token * w_stride + group * HALF + i % HALF, mask=inside, other=0)
        at = words + token * (w_stride // 4) + width // 8
        low, low_zero, more, more_zero = affine_of(tl.load(at + group, mask=inside, other=0), DOUBLE)
        factor, zero = tl.where(high == 1, more, low), tl.where(high == 1, more_zero, low_zero)
        nibble = (byte.to(tl.int32) >> (high * 4)) & 15
        x = (nibble - 8).to(tl.float32) * factor.to(tl.float32) + zero.to(tl.float32)
    else:
        x = tl.load(w + token * w_stride + i, mask=inside, other=0).to(tl.float32)
    if SCHEME == INT8 and GROUP:
        x = x * tl.load(scale + token * scale_stride + i // GROUP, mask=inside, other=0).to(tl.float32)
    elif SCHEME == INT8 or DOUBLE:
        x = x * tl.load(scale + token)
    tl.store(out + row * width + i, x.to(out.dtype.element_ty), mask=inside)


def embed(matrix: Matrix, tokens: Tensor, out: Tensor) -> None:
    """`embed_reference` on the device: one block a token, reads one packed row each."""
    operand = operand_of(matrix.weight)
    if operand.kind is GpuKind.BLOCKS:
        block_rows(matrix.weight, out, tokens)
        return
    width = out.shape[1]
    dependent = dependent_launch(out.device)
    over(_embed, (len(tokens),))(
        operand.rows,
        operand.words,
        operand.scale,
        tokens,
        out,
        matrix.weight.shape[0],
        width,
        operand.rows.stride(0),
        operand.scale_stride,
        SCHEME=int(operand.kind),
        GROUP=operand.group_size,
        DOUBLE=operand.double,
        BLOCK=next_power_of_2(width),
        DEPENDENT=dependent,
        num_warps=4,
        launch_pdl=dependent,
    )
