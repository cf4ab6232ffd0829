"""int4-sym, int4-asym: 4 bits as most published GPTQ, AWQ and compressed-tensors checkpoints hold them.

A 16-bit scale a group of inputs, symmetric or with a whole zero point: what other programs' layouts can say
exactly, so that it can be exported. Symmetric groups are of 128 inputs, those with zero points of 64, as
those of int4; where that does not divide an input width, the next smaller one that does.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from quantbench.methods.quantized import QuantizedMethod, with_head16
from quantbench.weights.formats import Int4Weight

if TYPE_CHECKING:
    from torch import Tensor

    from quantbench.weights.formats import Weight

SIZES = (128, 64, 32)


@dataclass(frozen=True, slots=True)
class Groups:
    """Groups of `most` inputs, or of as many as divide the width, with zero points or without."""

    most: int
    zeros: bool

    def size(self, columns: int) -> int | None:
        """The group for an input width; None where there is none."""
        return next((size for size in SIZES if size <= self.most and columns % size == 0), None)

    def __call__(self, name: str, weight: "Tensor", squares: "Tensor | None") -> "Weight | None":
        """See quantizers.int4_symmetric and int4_asymmetric."""
        from quantbench.weights.quantizers.int4_asymmetric import quantize_int4_asymmetric
        from quantbench.weights.quantizers.int4_symmetric import quantize_int4_symmetric

        size = self.size(weight.shape[1])
        if size is None:
            return None
        quantize = quantize_int4_asymmetric if self.zeros else quantize_int4_symmetric
        return quantize(name, weight, group_size=size, importance=squares)

    def matrix_bytes(self, rows: int, columns: int) -> int:
        """Of [rows, columns]; 16 bits a weight where nothing divides the width."""
        size = self.size(columns)
        return 2 * rows * columns if size is None else Int4Weight.bytes_of(rows, columns, size)


def method_of(kind: str, groups: Groups) -> QuantizedMethod:
    """4 bits of such groups, calibrated."""
    text = f"4 bits, {kind}, groups of {groups.most}, calibrated on a short text"
    return QuantizedMethod(
        description=f"{text}; embedding and head included",
        scheme="W4",
        group_size=groups.most,
        quantize=groups,
        matrix_bytes=groups.matrix_bytes,
        calibrated=True,
        quantizer="int4-asym" if groups.zeros else "int4-sym",
    )


INT4_SYM = method_of("symmetric", Groups(128, zeros=False))
INT4_ASYM = method_of("whole zero points", Groups(64, zeros=True))
PUBLISHED = {
    "int4-sym": INT4_SYM,
    "int4-sym-head16": with_head16(INT4_SYM),
    "int4-asym": INT4_ASYM,
    "int4-asym-head16": with_head16(INT4_ASYM),
}
