"""Which groups a matrix's width allows, what it becomes in them, and what it then weighs."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from quantbench.sources.ggml_types import TYPES_BY_NAME
from quantbench.weights.formats import Int4DoubleWeight, Int4Weight, Int8GroupsWeight, Int8Weight

if TYPE_CHECKING:
    from torch import Tensor

    from quantbench.weights.formats import Weight

PAIRED = (64, 32)  # groups of double quantization, of which kernels take pairs
LEAST = 32  # the group with 16-bit scales and zeros where no pair divides the input width


@dataclass(frozen=True, slots=True)
class Int8Rows:
    """W8, a scale per output channel."""

    def __call__(self, name: str, weight: "Tensor", squares: "Tensor | None") -> "Weight":
        from quantbench.weights.quantizers.int8 import quantize_int8

        return quantize_int8(name, weight)

    def matrix_bytes(self, rows: int, columns: int) -> int:
        """Of [rows, columns]."""
        return Int8Weight.bytes_of(rows, columns)


@dataclass(frozen=True, slots=True)
class Int8Groups:
    """W8 in groups of `most` inputs, or of the largest half, quarter or so down to 32 that divides the width.

    Where none does, a scale per output channel.
    """

    most: int

    def group_of(self, columns: int) -> int | None:
        """The group for an input width; None where there is none."""
        sizes = (self.most >> halvings for halvings in range(self.most.bit_length()))
        return next((size for size in sizes if size >= LEAST and columns % size == 0), None)

    def __call__(self, name: str, weight: "Tensor", squares: "Tensor | None") -> "Weight":
        from quantbench.weights.quantizers.int8 import quantize_int8_groups

        if group := self.group_of(weight.shape[1]):
            return quantize_int8_groups(name, weight, group_size=group)
        return Int8Rows()(name, weight, squares)

    def matrix_bytes(self, rows: int, columns: int) -> int:
        """Of [rows, columns]."""
        if group := self.group_of(columns):
            return Int8GroupsWeight.bytes_of(rows, columns, group)
        return Int8Rows().matrix_bytes(rows, columns)


@dataclass(frozen=True, slots=True)
class FiveBits:
    """W5 in GGUF's blocks of 32, for widths that 32 divides."""

    def __call__(self, name: str, weight: "Tensor", squares: "Tensor | None") -> "Weight":
        from quantbench.weights.quantizers.five_bits import quantize_q5_0

        return quantize_q5_0(name, weight, importance=squares)

    def matrix_bytes(self, rows: int, columns: int) -> int:
        """Of [rows, columns]."""
        kind = TYPES_BY_NAME["Q5_0"]
        return rows * columns // kind.values * kind.nbytes


@dataclass(frozen=True, slots=True)
class Int4Groups:
    """W4 with double quantization in groups of at most `most`, in pairs.

    Where no pair divides the width, groups of 32 with 16-bit scales and zeros; None where those do not
    either.
    """

    most: int

    def group_of(self, columns: int) -> int | None:
        """The group of double quantization for an input width; None where there is none."""
        sizes = (size for size in PAIRED if size <= self.most)
        return next((size for size in sizes if columns % (2 * size) == 0), None)

    def __call__(self, name: str, weight: "Tensor", squares: "Tensor | None") -> "Weight | None":
        from quantbench.engine.cpu.search import quantize_compiled
        from quantbench.weights.quantizers.int4 import quantize_int4
        from quantbench.weights.quantizers.int4_double import quantize_int4_double

        columns = weight.shape[1]
        if group := self.group_of(columns):
            made = quantize_compiled(name, weight, group_size=group, importance=squares)
            return made or quantize_int4_double(name, weight, group_size=group, importance=squares)
        if columns % LEAST == 0:
            return quantize_int4(name, weight, group_size=LEAST, importance=squares)
        return None

    def matrix_bytes(self, rows: int, columns: int) -> int:
        """Of [rows, columns]; 16 bits a weight where nothing divides the width."""
        if group := self.group_of(columns):
            return Int4DoubleWeight.bytes_of(rows, columns, group)
        if columns % LEAST == 0:
            return Int4Weight.bytes_of(rows, columns, LEAST)
        return 2 * rows * columns


def int4_rtn(name: str, weight: "Tensor", squares: "Tensor | None") -> "Weight | None":
    """W4 rounded naively, see quantizers.int4; two codes share a byte, so an odd width cannot be held."""
    from quantbench.weights.quantizers.int4 import round_int4

    return None if weight.shape[1] % 2 else round_int4(name, weight)


def int4_rtn_bytes(rows: int, columns: int) -> int:
    """In one group a row; 16 bits a weight where the width is odd."""
    return 2 * rows * columns if columns % 2 else Int4Weight.bytes_of(rows, columns, columns)
