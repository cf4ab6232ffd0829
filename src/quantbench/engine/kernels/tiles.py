"""Which tile a product of many rows uses, and in how many slices its inputs are summed.

A small table by the kind of matrix and the number of tokens. The slices depend on the matrix alone, so that
a row's sums are the same in every batch.
"""

from quantbench.engine.kernels.layout import Int4Rows, PackedWeight
from quantbench.engine.kernels.linear_many import Tile
from quantbench.engine.weights import FloatWeight

WIDE = 4096  # outputs from which on a matrix alone fills the device
SLICE = 448  # inputs that a slice has at least
MOST_SLICES = 4


def tile_for(weight: PackedWeight, tokens: int) -> Tile:
    """The tile for a matrix and a number of tokens."""
    columns = 16 if tokens <= 16 else 32 if tokens <= 32 else 64
    rows = 128 if weight.shape[0] >= WIDE else 64
    inputs = 128 if isinstance(weight, Int4Rows) or not isinstance(weight, FloatWeight) else 64
    return Tile(rows=rows, tokens=columns, inputs=inputs, warps=4, stages=4 if inputs == 64 else 3)


def slices_for(weight: PackedWeight) -> int:
    """In how many partial sums a product into the residual stream is computed."""
    out, inputs = weight.shape
    if out >= WIDE:
        return 1
    return max(1, min(MOST_SLICES, inputs // SLICE))
