"""Matrix products for many rows on tensor cores; packed weights become halves on their way in.

One kernel serves every matrix of a step. The weight tile is the left operand, so packed weights go from
shared memory through registers straight into the tensor cores, and few tokens waste little. Sums run
over K in one fixed order, whatever the tile and the number of tokens: a row's result does not depend on its
neighbours. What it writes is one of `Epilogue`.
"""

from dataclasses import dataclass
from enum import IntEnum

import torch
from torch import Tensor

from quantbench.engine.kernels.launch import dependent_launch, interpreted
from quantbench.engine.kernels.layout import Int4Rows, PackedMatrix, PackedWeight
from quantbench.engine.kernels.prefetch import prefetch
from quantbench.engine.kernels.triton_or_not import gdc_launch_dependents, gdc_wait, tl, triton
from quantbench.engine.kernels.unpack import (
    FLOAT,
    INT4,
    INT8,
    int8_to_half,
    nibbles_to_halves,
    scale_and_zero,
)
from quantbench.engine.weights import FloatWeight, Int8Weight


class Epilogue(IntEnum):
    """What becomes of the sums [rows, out]."""

    STORE = 0  # out [rows, out] with bias, or [splits, rows, out] without, in its own dtype
    GATE = 1  # the matrix is gates, then ups: silu(gate) * up -> out [rows, out / 2]
    BEST = 2  # per weight tile the greatest sum and its row: values float32, ids int32 [tiles, rows]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One block's share: weight rows, tokens, inputs a round; and how it is compiled."""

    rows: int
    tokens: int  # a power of two, like the others
    inputs: int
    more: int = 0  # further tokens, so that a share of 192 is possible
    warps: int = 4
    stages: int = 4


def linear_reference(matrix: PackedMatrix, x: Tensor) -> Tensor:
    """float32 [rows, out]: x [rows, in] times the dequantized weights, rounded to x's dtype, plus bias."""
    values = matrix.weight.dequantize().to(x.dtype).float()
    product = x.float() @ values.t()
    return product if matrix.bias is None else product + matrix.bias.float()


def gate_reference(matrix: PackedMatrix, x: Tensor) -> Tensor:
    """float32 [rows, out / 2]: silu(gate) * up."""
    gate, up = linear_reference(matrix, x).chunk(2, dim=-1)
    return torch.nn.functional.silu(gate) * up


def linear_many_reference(
    matrix: PackedMatrix,
    x: Tensor,
    out: Tensor,
    *,
    tile: Tile,
    epilogue: Epilogue = Epilogue.STORE,
    ids: Tensor | None = None,
) -> None:
    """What `linear_many` writes, in plain torch; partial sums are all in the first slice."""
    if epilogue is Epilogue.GATE:
        out.copy_(gate_reference(matrix, x))
    elif ids is not None:
        columns = linear_reference(matrix, x).split(tile.rows, dim=1)
        for number, part in enumerate(columns):
            best, which = part.max(dim=1)
            out[number], ids[number] = best, which + number * tile.rows
    elif out.dim() == 3:
        values = matrix.weight.dequantize().to(x.dtype).float()
        out.zero_()
        out[0] = x.float() @ values.t()
    else:
        out.copy_(linear_reference(matrix, x))


@triton.jit
def _weight_rows(tile, out_features, GATE: tl.constexpr, ROWS: tl.constexpr):
    """Which matrix rows a tile holds: a run of them, or gates and the ups that belong to them."""
    i = tl.arange(0, ROWS)
    if GATE:
        width = out_features // 2
        n = tile * (ROWS // 2) + i % (ROWS // 2)
        n = tl.where(n < width, n, 0) + (i // (ROWS // 2)) * width
    else:
        n = tile * ROWS + i
        n = tl.where(n < out_features, n, 0)
    return n.to(tl.int64)


@triton.jit
def _sum_plain(
    acc, more, w, x, n, token, rows, start, inputs, w_stride, x_stride, SCHEME: tl.constexpr,
    TOKENS: tl.constexpr, MORE: tl.constexpr, INPUTS: tl.constexpr, EVEN: tl.constexpr,
    ASSEMBLY: tl.constexpr,
):  # fmt: skip
    """acc [ROWS, TOKENS] and more [ROWS, MORE] += weights (float or int8) times x over a slice of inputs."""
    k = tl.arange(0, INPUTS)
    w_at = w + n[:, None] * w_stride + (start + k)[None, :]
    near, far = token + tl.arange(0, TOKENS), token + TOKENS + tl.arange(0, MORE if MORE else 16)
    near_at = x + near[None, :].to(tl.int64) * x_stride + (start + k)[:, None]
    far_at = x + far[None, :].to(tl.int64) * x_stride + (start + k)[:, None]
    # missing tokens are masked: loads of one row in their place would all meet at one bank of the L2
    near_there, far_there = (near < rows)[None, :], (far < rows)[None, :]
    for done in range(0, inputs, INPUTS):
        if EVEN:
            weights = tl.load(w_at)
            tokens = tl.load(near_at, mask=near_there, other=0.0)
        else:
            inside = k < inputs - done
            weights = tl.load(w_at, mask=inside[None, :], other=0)
            tokens = tl.load(near_at, mask=near_there & inside[:, None], other=0.0)
        if SCHEME == INT8:
            weights = int8_to_half(weights, ASSEMBLY)
        weights = weights.to(tokens.dtype)
        acc = tl.dot(weights, tokens, acc)
        if MORE:
            if EVEN:
                tokens = tl.load(far_at, mask=far_there, other=0.0)
            else:
                tokens = tl.load(far_at, mask=far_there & inside[:, None], other=0.0)
            more = tl.dot(weights, tokens, more)
            far_at += INPUTS
        w_at += INPUTS
        near_at += INPUTS
    return acc, more


@triton.jit
def _sum_int4(
    acc, more, data, words, x, n, token, rows, start, inputs, row_bytes, x_stride, total,
    GROUP: tl.constexpr, TOKENS: tl.constexpr, MORE: tl.constexpr, INPUTS: tl.constexpr,
    ASSEMBLY: tl.constexpr,
):  # fmt: skip
    """The same with `Int4Rows`: a round takes INPUTS / 2 bytes, whose nibbles meet two slices of x."""
    HALF: tl.constexpr = INPUTS // 2
    APART: tl.constexpr = GROUP // 2
    e = tl.arange(0, HALF)
    w_at = data + n[:, None] * row_bytes + (start // 2 + e)[None, :]
    affine_at = words + n * (row_bytes // 4) + total // 8
    near, far = token + tl.arange(0, TOKENS), token + TOKENS + tl.arange(0, MORE if MORE else 16)
    near_at = x + near[None, :].to(tl.int64) * x_stride + e[:, None]
    far_at = x + far[None, :].to(tl.int64) * x_stride + e[:, None]
    near_there, far_there = (near < rows)[None, :], (far < rows)[None, :]
    for done in range(0, inputs, INPUTS):
        byte = (start + done) // 2
        group = byte // APART
        first = tl.multiple_of(group * GROUP + byte % APART, HALF)
        low, high = nibbles_to_halves(tl.load(w_at), ASSEMBLY)
        scale, zero = scale_and_zero(tl.load(affine_at + group))
        kind = x.dtype.element_ty
        low = (low * scale[:, None] + zero[:, None]).to(kind)
        high = (high * scale[:, None] + zero[:, None]).to(kind)
        acc = tl.dot(low, tl.load(near_at + first, mask=near_there, other=0.0), acc)
        acc = tl.dot(high, tl.load(near_at + first + APART, mask=near_there, other=0.0), acc)
        if MORE:
            more = tl.dot(low, tl.load(far_at + first, mask=far_there, other=0.0), more)
            more = tl.dot(high, tl.load(far_at + first + APART, mask=far_there, other=0.0), more)
        w_at += HALF
    return acc, more


@triton.jit
def _write(
    acc, out, ids, tile, split, token, rows, out_features, EPILOGUE: tl.constexpr, ROWS: tl.constexpr,
    TOKENS: tl.constexpr,
):  # fmt: skip
    """What becomes of the sums [ROWS, TOKENS] of tokens from `token` on."""
    t = token + tl.arange(0, TOKENS)
    row = tile * ROWS + tl.arange(0, ROWS)
    if EPILOGUE == 0:
        at = out + (split.to(tl.int64) * rows + t[None, :]) * out_features + row[:, None]
        inside = (row < out_features)[:, None] & (t < rows)[None, :]
        tl.store(at, acc.to(out.dtype.element_ty), mask=inside)
    elif EPILOGUE == 1:
        pairs = tl.permute(tl.reshape(acc, (2, ROWS // 2, TOKENS)), (1, 2, 0))
        gate, up = tl.split(pairs)
        width = out_features // 2
        column = tile * (ROWS // 2) + tl.arange(0, ROWS // 2)
        at = out + t[None, :].to(tl.int64) * width + column[:, None]
        inside = (column < width)[:, None] & (t < rows)[None, :]
        tl.store(at, (gate / (1 + tl.exp(-gate)) * up).to(out.dtype.element_ty), mask=inside)
    else:
        acc = tl.where((row < out_features)[:, None], acc, float("-inf"))
        best, which = tl.max(acc, axis=0, return_indices=True)
        at = tile * rows + t
        tl.store(out + at, best, mask=t < rows)
        tl.store(ids + at, tile * ROWS + which, mask=t < rows)


@triton.jit
def _prefetch_rows(w, n, start, inputs, w_stride, SCHEME: tl.constexpr, ROWS: tl.constexpr):
    """Ask for a tile's slice of inputs; of 4-bit rows without the scales behind them."""
    if SCHEME == FLOAT:
        prefetch(w + n * w_stride + start, inputs * 2 + n.to(tl.int32) * 0, ROWS)
    elif SCHEME == INT8:
        prefetch(w + n * w_stride + start, inputs + n.to(tl.int32) * 0, ROWS)
    else:
        prefetch(w + n * w_stride + start // 2, inputs // 2 + n.to(tl.int32) * 0, ROWS)


@triton.jit
def _linear(
    w, scale, bias, x, out, ids, rows, out_features, in_features, w_stride, x_stride,
    SCHEME: tl.constexpr, GROUP: tl.constexpr, EPILOGUE: tl.constexpr, BIAS: tl.constexpr,
    ROWS: tl.constexpr, TOKENS: tl.constexpr, MORE: tl.constexpr, INPUTS: tl.constexpr,
    EVEN: tl.constexpr, ASSEMBLY: tl.constexpr, DEPENDENT: tl.constexpr, PREFETCH: tl.constexpr,
):  # fmt: skip
    tile = tl.program_id(1)
    split = tl.program_id(2)
    n = _weight_rows(tile, out_features, EPILOGUE == 1, ROWS)
    token = tl.program_id(0) * (TOKENS + MORE)
    share = tl.cdiv(tl.cdiv(in_features, INPUTS), tl.num_programs(2)) * INPUTS
    start = split * share
    inputs = tl.minimum(share, in_features - start)
    acc = tl.zeros((ROWS, TOKENS), tl.float32)
    more = tl.zeros((ROWS, MORE if MORE else 16), tl.float32)
    if PREFETCH:
        wanted = tl.where(tl.program_id(0) == 0, inputs, 0)  # once for all tiles of tokens
        _prefetch_rows(w, n, start, wanted, w_stride, SCHEME, ROWS)
    if DEPENDENT:
        gdc_launch_dependents()
        gdc_wait()
    if SCHEME == INT4:
        acc, more = _sum_int4(
            acc, more, w, scale, x, n, token, rows, start, inputs, w_stride, x_stride, in_features,
            GROUP, TOKENS, MORE, INPUTS, ASSEMBLY,
        )  # fmt: skip
    else:
        acc, more = _sum_plain(
            acc, more, w, x, n, token, rows, start, inputs, w_stride, x_stride,
            SCHEME, TOKENS, MORE, INPUTS, EVEN, ASSEMBLY,
        )  # fmt: skip
    if SCHEME == INT8:
        factor = tl.load(scale + n)[:, None]
        acc, more = acc * factor, more * factor
    if BIAS:
        offset = tl.load(bias + n).to(tl.float32)[:, None]
        acc, more = acc + offset, more + offset
    _write(acc, out, ids, tile, split, token, rows, out_features, EPILOGUE, ROWS, TOKENS)
    if MORE:
        _write(more, out, ids, tile, split, token + TOKENS, rows, out_features, EPILOGUE, ROWS, MORE)


def scheme_of(weight: PackedWeight) -> tuple[int, int, Tensor, Tensor | None, int]:
    """(scheme, group size, rows, what holds the scales, the rows' stride in elements of `rows`)."""
    if isinstance(weight, FloatWeight):
        return FLOAT.value, 0, weight.values, None, weight.values.stride(0)
    if isinstance(weight, Int8Weight):
        return INT8.value, 0, weight.q, weight.scale, weight.q.stride(0)
    return (
        INT4.value,
        weight.group_size,
        weight.words.view(torch.uint8),
        weight.words,
        weight.words.stride(0) * 4,
    )


def round_inputs(weight: PackedWeight, wanted: int) -> int:
    """Inputs a round: as wanted, or the greatest power of two that the groups of a 4-bit row allow."""
    if not isinstance(weight, Int4Rows):
        return wanted
    size = weight.group_size
    return min(wanted, size & -size)


def movable(data: Tensor, in_features: int, inputs: int) -> bool:
    """Whether every slice of a row starts at and is a multiple of 16 bytes."""
    width = data.element_size() * in_features // (2 if data.dtype == torch.uint8 else 1)
    step = data.element_size() * inputs // (2 if data.dtype == torch.uint8 else 1)
    starts = (data.data_ptr(), data.stride(0) * data.element_size(), width, step)
    return data.element_size() <= 2 and not any(start % 16 for start in starts)


def tiles_of(matrix: PackedMatrix, tile: Tile) -> int:
    """Weight tiles of a matrix: the leading length of what Epilogue.BEST writes."""
    return -(-matrix.weight.shape[0] // tile.rows)


def linear_many(
    matrix: PackedMatrix,
    x: Tensor,
    out: Tensor,
    *,
    tile: Tile,
    epilogue: Epilogue = Epilogue.STORE,
    ids: Tensor | None = None,
) -> None:
    """x [rows, in] in activations times a matrix -> out (and ids) as `epilogue` says.

    STORE: out [splits, rows, out] or [rows, out]; K is cut in `splits` slices of whole rounds. Reads the
    packed weights once for every tile of tokens (from L2 after the first), x once a weight tile.
    """
    scheme, group, data, scale, stride = scheme_of(matrix.weight)
    out_features, in_features = matrix.weight.shape
    splits = out.shape[0] if out.dim() == 3 else 1
    inputs = round_inputs(matrix.weight, tile.inputs)
    per_tile = tile.rows // 2 if epilogue is Epilogue.GATE else tile.rows
    columns = out_features // 2 if epilogue is Epilogue.GATE else out_features
    dependent = dependent_launch(x.device)
    grid = (triton.cdiv(len(x), tile.tokens + tile.more), triton.cdiv(columns, per_tile), splits)
    _linear[grid](
        data,
        scale,
        matrix.bias,
        x,
        out,
        ids,
        len(x),
        out_features,
        in_features,
        stride,
        x.stride(0),
        SCHEME=scheme,
        GROUP=group,
        EPILOGUE=int(epilogue),
        BIAS=matrix.bias is not None and out.dim() == 2,
        ROWS=tile.rows,
        TOKENS=tile.tokens,
        MORE=tile.more,
        INPUTS=inputs,
        EVEN=in_features % inputs == 0,
        ASSEMBLY=not interpreted(),
        DEPENDENT=dependent,
        PREFETCH=dependent and scheme != FLOAT.value and movable(data, in_features, inputs),
        num_warps=tile.warps,
        num_stages=tile.stages,
        launch_pdl=dependent,
    )
