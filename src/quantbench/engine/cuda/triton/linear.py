"""Matrix products for many rows on tensor cores; packed weights become halves on their way in.

One kernel serves every matrix of a step; `sums` holds its loops. Sums run over the inputs in one fixed order,
whatever the tile and the number of tokens: a row's result does not depend on its neighbours. Packed matrices
take their inputs in the order of `order.interleave_of`; what it writes is one of `Epilogue`.
"""

from dataclasses import dataclass
from enum import IntEnum

import torch
from torch import Tensor

from quantbench.engine.activations import ACTIVATIONS
from quantbench.engine.cuda.packing import operand_of, parts_with_rows
from quantbench.engine.cuda.triton.epilogues import scaled, write_sums
from quantbench.engine.cuda.triton.groups import Groups
from quantbench.engine.cuda.triton.interleave import (
    NATURAL,
    deinterleaved,
    input_at,
    interleave_of,
    interleaved,
)
from quantbench.engine.cuda.triton.k_loops import (
    prefetch_rows,
    sum_blocks,
    sum_float,
    sum_int4,
    sum_int8,
)
from quantbench.engine.cuda.triton.language import gdc_launch_dependents, gdc_wait, tl, triton
from quantbench.engine.cuda.triton.launch import dependent_launch, interpreted, over
from quantbench.engine.cuda.triton.silu_mul import activate_whole
from quantbench.engine.cuda.triton.unpack import BLOCKS, INT4, INT8
from quantbench.engine.parameters import Matrix
from quantbench.weights.formats import GpuKind, MixedWeight, Weight
from quantbench.weights.formats.block_rows import span_of

PREFETCHED = 256  # blocks: where more follow in waves, asking ahead row by row costs more than it hides
SHARE = 128  # inputs: slices are multiples of it whatever the tile, so that sums do not depend on it


class Epilogue(IntEnum):
    """What becomes of the sums [rows, out]."""

    STORE = 0  # out [rows, out] with bias, or [splits, rows, out] without, in its own dtype
    GATE = 1  # the matrix is gates, then ups: act(gate) * up -> out [rows, out / 2], in the order asked for
    BEST = 2  # per weight tile the greatest sum (NaN is inf) and its row: float32 and int32 [tiles, rows]
    ACT = 3  # act(sum) -> out [rows, out], in the order asked for


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One block's share: weight rows, tokens, inputs a round; and how it is compiled."""

    rows: int
    tokens: int  # a power of two, like the others
    inputs: int
    more: int = 0  # further tokens, so that a share of 192 is possible
    warps: int = 4
    stages: int = 4


def linear_reference(matrix: Matrix, x: Tensor) -> Tensor:
    """float32 [rows, out]: x [rows, in] times the dequantized weights, rounded to x's dtype, plus bias."""
    values = matrix.weight.dequantize().to(x.dtype).float()
    product = x.float() @ values.t()
    return product if matrix.bias is None else product + matrix.bias.float()


def gate_reference(matrix: Matrix, x: Tensor, activation: str = "silu") -> Tensor:
    """float32 [rows, out / 2]: act(gate) * up."""
    gate, up = linear_reference(matrix, x).chunk(2, dim=-1)
    return ACTIVATIONS[activation].apply(gate) * up


def tiled_linear_reference(
    matrix: Matrix,
    x: Tensor,
    out: Tensor,
    *,
    tile: Tile,
    epilogue: Epilogue = Epilogue.STORE,
    ids: Tensor | None = None,
    order: int = NATURAL,
    activation: str = "silu",
    factors: Tensor | None = None,
    groups: Groups | None = None,
) -> None:
    """What `tiled_linear` writes, in plain torch; partial sums are all in the first slice."""
    if groups is not None:
        for part, rows in groups.runs(matrix):
            tiled_linear_reference(
                part, x[rows], out[rows], tile=tile, epilogue=epilogue, order=order, activation=activation,
                factors=None if factors is None else factors[rows],
            )  # fmt: skip
        return
    x = deinterleaved(x, interleave_of(matrix.weight))
    if epilogue in (Epilogue.GATE, Epilogue.ACT):
        gated = epilogue is Epilogue.GATE
        y = gate_reference(matrix, x, activation) if gated else linear_reference(matrix, x)
        y = y if gated else ACTIVATIONS[activation].apply(y)
        out.copy_(interleaved(y if factors is None else y * factors[:, None], order))
    elif ids is not None:
        sums = linear_reference(matrix, x)
        sums = torch.where(sums < torch.inf, sums, torch.inf)
        for number, part in enumerate(sums.split(tile.rows, dim=1)):
            best, which = part.max(dim=1)
            out[number], ids[number] = best, which + number * tile.rows
    elif out.dim() == 3:
        values = matrix.weight.dequantize().to(x.dtype).float()
        out.zero_()
        out[0] = x.float() @ values.t()
    else:
        out.copy_(linear_reference(matrix, x))


@triton.jit
def _weight_rows(tile, out_features, GATE: tl.constexpr, ROWS: tl.constexpr, ORDER: tl.constexpr):
    """Which matrix rows a tile holds: a run of them, or gates (in the order asked for) and their ups."""
    i = tl.arange(0, ROWS)
    if GATE:
        width = out_features // 2
        n = input_at(tile * (ROWS // 2) + i % (ROWS // 2), ORDER)
        n = tl.where(n < width, n, 0) + (i // (ROWS // 2)) * width
    else:
        n = input_at(tile * ROWS + i, ORDER)
        n = tl.where(n < out_features, n, 0)
    return n.to(tl.int64)


@triton.jit(do_not_specialize=["rows"])  # one kernel for any number of tokens
def _linear(
    w, scale, high, sub, bias, x, out, ids, factors, firsts, counts, matrices, rows, out_features,
    in_features, w_stride, scale_stride, x_stride, out_stride, SCHEME: tl.constexpr, TYPE: tl.constexpr,
    GROUP: tl.constexpr, DOUBLE: tl.constexpr, RUN: tl.constexpr, ORDER: tl.constexpr,
    EPILOGUE: tl.constexpr, BIAS: tl.constexpr, ROWS: tl.constexpr, TOKENS: tl.constexpr, MORE: tl.constexpr,
    INPUTS: tl.constexpr, SHARE: tl.constexpr, EVEN: tl.constexpr, ASSEMBLY: tl.constexpr,
    DEPENDENT: tl.constexpr, PREFETCH: tl.constexpr, ACT: tl.constexpr, FACTORS: tl.constexpr,
    GROUPED: tl.constexpr,
):  # fmt: skip
    tile, split, token = tl.program_id(1), tl.program_id(2), tl.program_id(0) * (TOKENS + MORE)
    n = _weight_rows(tile, out_features, EPILOGUE == 1, ROWS, ORDER)
    stop = rows
    if GROUPED:
        if DEPENDENT:  # which matrix it is stands in what kernels before write
            gdc_launch_dependents()
            gdc_wait()
        token = tl.load(firsts + tl.program_id(0))
        stop = token + tl.load(counts + tl.program_id(0))
        if token >= stop:
            return
        n += tl.load(matrices + tl.program_id(0)).to(tl.int64) * out_features
    if RUN > 1:
        w_stride = w_stride // 4  # of bytes, a multiple of 16, to one of words: so loads of 16 bytes are seen
    share = tl.cdiv(tl.cdiv(in_features, SHARE), tl.num_programs(2)) * SHARE
    start, inputs = split * share, tl.minimum(share, in_features - split * share)
    acc = tl.zeros((ROWS, TOKENS), tl.float32)
    more = tl.zeros((ROWS, MORE if MORE else 16), tl.float32)
    if PREFETCH:
        once = tl.where(tl.program_id(0) == 0, inputs, 0)  # for all tiles of tokens
        prefetch_rows(w, n, start, once, w_stride, in_features, SCHEME, RUN, TYPE == "Q8_0", ROWS)
    if DEPENDENT and not GROUPED:
        gdc_launch_dependents()
        gdc_wait()
    scales = scale
    if SCHEME == INT8 and GROUP:
        scales = scale + n * scale_stride
    if SCHEME == INT4:
        acc, more = sum_int4(
            acc, more, w, x, n, token, stop, start, inputs, w_stride, x_stride, in_features,
            GROUP, DOUBLE, ROWS, TOKENS, MORE, INPUTS, RUN, ASSEMBLY,
        )  # fmt: skip
    elif SCHEME == BLOCKS:
        acc, more = sum_blocks(
            acc, more, w, scale, high, sub, x, n, token, stop, start, inputs, x_stride, in_features,
            TYPE, ROWS, TOKENS, MORE, INPUTS, ASSEMBLY,
        )  # fmt: skip
    elif RUN > 1:
        acc, more = sum_int8(
            acc, more, w, scales, x, n, token, stop, start, inputs, w_stride, x_stride, in_features,
            GROUP, ROWS, TOKENS, MORE, INPUTS, EVEN, RUN, ASSEMBLY,
        )  # fmt: skip
    else:
        acc, more = sum_float(
            acc, more, w, scales, x, n, token, stop, start, inputs, w_stride, x_stride, in_features,
            GROUP, ROWS, TOKENS, MORE, INPUTS, EVEN, ASSEMBLY,
        )  # fmt: skip
    acc, more = scaled(acc, more, scale, bias, n, DOUBLE or (SCHEME == INT8 and GROUP == 0), BIAS)
    write_sums(
        acc, out, ids, factors, tile, split, token, stop, rows, out_features, out_stride, EPILOGUE, ROWS,
        TOKENS, ACT, FACTORS,
    )  # fmt: skip
    if MORE:
        write_sums(
            more, out, ids, factors, tile, split, token + TOKENS, stop, rows, out_features, out_stride,
            EPILOGUE, ROWS, MORE, ACT, FACTORS,
        )  # fmt: skip


def as_words(data: Tensor, order: int) -> Tensor:
    """Packed rows as int32 where they are fetched so."""
    return data if order == NATURAL else data.view(torch.int32)


def round_inputs(weight: Weight, wanted: int) -> int:
    """Inputs a round: as wanted, within what runs and groups allow."""
    order, operand = interleave_of(weight), operand_of(weight)
    if operand.kind is GpuKind.BLOCKS:
        return span_of(weight.shape[1])
    size, inputs = operand.group_size, weight.shape[1]
    if not size:
        return max(wanted, order)
    if size < wanted and wanted % size == 0 and inputs % wanted == 0:
        return wanted  # whole groups
    return max(min(wanted, size & -size), 2 * order if operand.kind is GpuKind.INT4 else order)


def movable(data: Tensor, in_features: int, inputs: int) -> bool:
    """Whether every slice of a row starts at and is a multiple of 16 bytes."""
    width = data.element_size() * in_features // (2 if data.dtype == torch.uint8 else 1)
    step = data.element_size() * inputs // (2 if data.dtype == torch.uint8 else 1)
    starts = (data.data_ptr(), data.stride(0) * data.element_size(), width, step)
    return data.element_size() <= 2 and not any(start % 16 for start in starts)


def tiles_of(matrix: Matrix, tile: Tile) -> int:
    """Weight tiles of a matrix: the leading length of what Epilogue.BEST writes."""
    return -(-matrix.weight.shape[0] // tile.rows)


def tiled_linear(
    matrix: Matrix,
    x: Tensor,
    out: Tensor,
    *,
    tile: Tile,
    epilogue: Epilogue = Epilogue.STORE,
    ids: Tensor | None = None,
    order: int = NATURAL,
    activation: str = "silu",
    factors: Tensor | None = None,
    groups: Groups | None = None,
) -> None:
    """x [rows, in], in the matrix's own order, times a matrix -> out (and ids) as `epilogue` says.

    STORE: out [splits, rows, out] or [rows, out]; the inputs are cut in `splits` slices. GATE and ACT: out is
    in `order`, and times `factors` [rows]. With `groups` each run of tokens meets its own matrix. Reads the
    packed weights once for every tile of tokens (from L2 after the first), x once a weight tile. A mixture
    takes a launch for each part.
    """
    if isinstance(matrix.weight, MixedWeight):
        if epilogue is Epilogue.BEST or groups is not None:
            raise TypeError("a head and a group of experts are each one matrix of one format")
        whole = out if epilogue is Epilogue.STORE else out.new_empty(len(x), matrix.weight.shape[0])
        _linear_of_parts(matrix, x, whole, tile)
        if epilogue is not Epilogue.STORE:
            activate_whole(whole, out, activation, factors, gated=epilogue is Epilogue.GATE)
            if order != NATURAL:
                out.copy_(interleaved(out, order))
        return
    run = interleave_of(matrix.weight)
    operand = operand_of(matrix.weight)
    data = operand.rows
    rows, in_features = matrix.weight.shape
    out_features = rows // groups.matrices if groups else rows
    splits = out.shape[0] if out.dim() == 3 else 1
    inputs = round_inputs(matrix.weight, tile.inputs)
    per_tile = tile.rows // 2 if epilogue is Epilogue.GATE else tile.rows
    columns = out_features // 2 if epilogue is Epilogue.GATE else out_features
    dependent = dependent_launch(x.device)
    tiles = triton.cdiv(columns, per_tile)
    runs = len(groups.first) if groups else triton.cdiv(len(x), tile.tokens + tile.more)
    grid = (runs, tiles, splits)
    ahead = dependent and operand.kind is not GpuKind.FLOAT and tiles * splits <= PREFETCHED
    aligned = operand.kind is GpuKind.BLOCKS or movable(data, in_features, inputs)
    over(_linear, grid)(
        as_words(data, run), operand.scale, operand.high, operand.sub, matrix.bias, x, out, ids, factors,
        groups and groups.first, groups and groups.count, groups and groups.chosen, len(x), out_features,
        in_features, data.stride(0), operand.scale_stride, x.stride(0), out.stride(-2),
        SCHEME=int(operand.kind), TYPE=operand.block, GROUP=operand.group_size, DOUBLE=operand.double,
        RUN=run, ORDER=order, EPILOGUE=int(epilogue), BIAS=matrix.bias is not None and out.dim() == 2,
        ROWS=tile.rows, TOKENS=tile.tokens, MORE=tile.more, INPUTS=inputs, SHARE=max(SHARE, inputs),
        EVEN=in_features % inputs == 0, ASSEMBLY=not interpreted(), DEPENDENT=dependent,
        PREFETCH=ahead and aligned and groups is None, ACT=ACTIVATIONS[activation].number,
        FACTORS=factors is not None, GROUPED=groups is not None, num_warps=tile.warps,
        num_stages=tile.stages, launch_pdl=dependent,
    )  # fmt: skip


def _linear_of_parts(matrix: Matrix, x: Tensor, out: Tensor, tile: Tile) -> None:
    """Each part of a mixture writes its own columns."""
    for part, rows in parts_with_rows(matrix):
        tiled_linear(part, x, out[..., rows], tile=tile)
