"""Which tile a product of many rows uses, and in how many slices its inputs are summed.

The table is the outcome of timing the candidates on an H200 for Qwen2.5-0.5B's matrices at 16, 32, 64, 128
and 164 tokens. Tiles change the speed alone: sums run over the inputs in the same order in all of them. The
slices depend on the matrix alone, so that a row's sums are the same in every batch.
"""

from functools import cache

import torch

from quantbench.engine.cuda.packing import kind_of, operand_of, parts_of
from quantbench.engine.cuda.triton.linear import Tile
from quantbench.weights.formats import GpuKind, Weight

WIDE = 4096  # outputs from which on a matrix is wide: gate and up
HUGE = 65536  # outputs of a head
LONG = 2048  # inputs of a down projection
LEAST_SLICE = 256  # inputs: two rounds of the common tile
MOST_SLICES = 8  # partial sums, all of which the norm behind them reads
ENOUGH = 1 << 14  # outputs times slices that fill a device
ROOMY = 200 * 1024  # bytes of shared memory that the tiles of the table may take


def tile_for(weight: Weight, tokens: int) -> Tile:
    """The tile for a matrix and a number of tokens."""
    columns = next((size for size in (16, 32, 64, 128) if size >= tokens), 192)
    if tokens > 192:
        columns = 128
    if not roomy(device_of(weight)):
        return Tile(rows=64, tokens=min(columns, 64), inputs=64, warps=4, stages=3)
    return _tile(kind_of(weight), weight.shape, columns)


def expert_tile(weight: Weight, experts: int, tokens: int) -> Tile:
    """The tile for runs of up to `tokens` tokens, 16 or 64, of one of the matrices that lie in a weight."""
    if tokens > 16 or not roomy(device_of(weight)):
        return Tile(rows=64, tokens=tokens, inputs=64, stages=3)
    out, inputs = weight.shape
    return _tile(operand_of(weight).kind, (out // experts, inputs), tokens)


@cache
def _tile(kind: GpuKind, shape: tuple[int, int], columns: int) -> Tile:
    """Of the table, kept: a prompt pass asks for hundreds."""
    return TILES[kind](shape, columns)


def _float_tile(shape: tuple[int, int], columns: int) -> Tile:
    out, inputs = shape
    if columns <= 64:
        deep = 7 if columns == 16 and out < WIDE else 5
        return Tile(rows=64, tokens=columns, inputs=128, stages=3 if out >= WIDE else deep)
    if columns == 128:
        if out >= WIDE:
            return Tile(rows=128, tokens=128, inputs=64, warps=8)
        return Tile(rows=64, tokens=64, inputs=128)
    if out >= HUGE:
        return Tile(rows=64, tokens=128, more=64, inputs=64, stages=3)
    if out >= WIDE:
        return Tile(rows=128, tokens=64, inputs=64)
    if inputs >= LONG:
        return Tile(rows=64, tokens=128, more=64, inputs=64, warps=8)
    if out > inputs:
        return Tile(rows=64, tokens=32, inputs=128, stages=6)
    return Tile(rows=64, tokens=64, inputs=128)


def _int8_tile(shape: tuple[int, int], columns: int) -> Tile:
    out = shape[0]
    if columns <= 32:
        if out >= HUGE:
            return Tile(rows=128, tokens=columns, inputs=128, stages=4)
        return Tile(rows=64, tokens=columns, inputs=128, stages=7 if out >= WIDE and columns == 16 else 3)
    if columns == 64 and out >= HUGE:
        return Tile(rows=128, tokens=64, inputs=64, warps=8, stages=5)
    if columns == 64:
        return _of_64_tokens(shape)
    if columns == 128:
        if out >= HUGE:
            return Tile(rows=128, tokens=128, inputs=64, warps=8)
        return Tile(rows=64, tokens=64, inputs=128)
    if out >= HUGE:
        return Tile(rows=128, tokens=64, more=32, inputs=64, warps=8)
    if out >= WIDE:
        return Tile(rows=128, tokens=64, inputs=128, warps=8, stages=3)
    return _narrow(shape, columns)


def _int4_tile(shape: tuple[int, int], columns: int) -> Tile:
    out = shape[0]
    if columns <= 32:
        return Tile(rows=128 if out >= HUGE else 64, tokens=columns, inputs=128, stages=3)
    if columns == 64:
        return _of_64_tokens(shape)
    if columns == 128 and out >= HUGE:
        return Tile(rows=64, tokens=128, inputs=128, stages=3)
    if columns == 192 and out >= HUGE:
        return Tile(rows=128, tokens=64, more=32, inputs=128, warps=8, stages=3)
    if columns == 192 and out >= WIDE:
        return Tile(rows=128, tokens=64, inputs=128, warps=8, stages=3)
    return _narrow(shape, columns)


def _block_tile(shape: tuple[int, int], columns: int) -> Tile:
    """GGUF blocks: as 4-bit weights, save for a tile that was timed for those alone."""
    out, inputs = shape
    if columns == 192 and out < WIDE:
        return Tile(rows=64, tokens=64, inputs=128, stages=3 if inputs >= LONG else 4)
    return _int4_tile(shape, columns)


def _narrow(shape: tuple[int, int], columns: int) -> Tile:
    """Packed weights: queries, keys and values of many rows have too few blocks otherwise."""
    out, inputs = shape
    if columns == 192 and inputs < LONG and inputs < out:
        return Tile(rows=64, tokens=32, inputs=128)
    return Tile(rows=64, tokens=64, inputs=128, stages=3 if inputs >= LONG else 4)


def _of_64_tokens(shape: tuple[int, int]) -> Tile:
    """Packed weights, up to 64 tokens: narrow matrices fill the device better with half of them a block."""
    out, inputs = shape
    if out >= HUGE:
        return Tile(rows=64, tokens=64, inputs=128, stages=3)
    if out >= WIDE or inputs >= LONG:
        return Tile(rows=64, tokens=64, inputs=128)
    return Tile(rows=64, tokens=32, inputs=128, stages=3)


TILES = {
    GpuKind.FLOAT: _float_tile,
    GpuKind.INT8: _int8_tile,
    GpuKind.INT4: _int4_tile,
    GpuKind.BLOCKS: _block_tile,  # four stages were faster alone, and slower within a step
}


def slices_for(weight: Weight) -> int:
    """In how many partial sums a product into the residual stream is computed."""
    out, inputs = weight.shape
    return max(1, min(MOST_SLICES, inputs // LEAST_SLICE, ENOUGH // out))


def device_of(weight: Weight) -> torch.device:
    """Where a weight's rows are."""
    return operand_of(parts_of(weight)[0]).rows.device


@cache
def roomy(device: torch.device) -> bool:
    """Whether a block may have as much shared memory as the table's tiles ask for."""
    if device.type != "cuda":
        return True
    properties = torch.cuda.get_device_properties(device)
    return int(getattr(properties, "shared_memory_per_block_optin", 0)) >= ROOMY
