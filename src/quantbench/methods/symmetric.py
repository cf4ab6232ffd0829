"""int4-sym: 4 bits as most published GPTQ and compressed-tensors checkpoints hold them.

Symmetric, a 16-bit scale a group of 128 inputs: what other programs' layouts can say exactly, so that it can
be exported. Where 128 does not divide an input width, the group is 64 or 32.
"""

from typing import TYPE_CHECKING

from quantbench.methods.quantized import QuantizedMethod, with_head16
from quantbench.weights.formats import Int4Weight

if TYPE_CHECKING:
    from torch import Tensor

    from quantbench.weights.formats import Weight

SIZES = (128, 64, 32)


def group_of(columns: int) -> int | None:
    """The group for an input width; None where there is none."""
    return next((size for size in SIZES if columns % size == 0), None)


def quantize(name: str, weight: "Tensor", squares: "Tensor | None") -> "Weight | None":
    """See quantizers.int4_symmetric."""
    from quantbench.weights.quantizers.int4_symmetric import quantize_int4_symmetric

    size = group_of(weight.shape[1])
    if size is None:
        return None
    return quantize_int4_symmetric(name, weight, group_size=size, importance=squares)


def matrix_bytes(rows: int, columns: int) -> int:
    """Of [rows, columns]; 16 bits a weight where nothing divides the width."""
    size = group_of(columns)
    return 2 * rows * columns if size is None else Int4Weight.bytes_of(rows, columns, size)


INT4_SYM = QuantizedMethod(
    description="4 bits, symmetric, groups of 128, calibrated on a short text; embedding and head included",
    scheme="W4",
    group_size=SIZES[0],
    quantize=quantize,
    matrix_bytes=matrix_bytes,
    calibrated=True,
)
SYMMETRIC = {"int4-sym": INT4_SYM, "int4-sym-head16": with_head16(INT4_SYM)}
