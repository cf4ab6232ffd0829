"""Integer codes with a scale and a zero point per group of inputs: what GPTQ, AWQ, HQQ and others store."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from quantbench.weights.formats.beside import beside
from quantbench.weights.formats.nibbles import unpack_pairs
from quantbench.weights.formats.weight import VECTOR, CpuOperand, Weight, contiguous

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class IntegerWeight(Weight):
    """w = (q - zero) * scale, q of 4 or 8 bits without sign.

    codes uint8: of 8 bits [out, in]; of 4 bits [out, in / 2], the even input in the low nibble.
    scale [out, in / group_size], float16 where that holds it exactly, else float32; zero the same, float16.
    The difference and the product are exact in float32 where the zero point is an integer.
    """

    codes: "Tensor"
    scale: "Tensor"
    zero: "Tensor"
    bits: int

    @property
    def shape(self) -> tuple[int, int]:
        return (self.codes.shape[0], self.codes.shape[1] * 8 // self.bits)

    @property
    def group_size(self) -> int:
        return self.shape[1] // self.scale.shape[1]

    @property
    def scheme(self) -> str:
        return f"W{self.bits}"

    @property
    def format(self) -> str:
        return f"int{self.bits} with zero points"

    def dequantize(self, rows: "Tensor | None" = None) -> "Tensor":
        codes, scale, zero = self.codes, self.scale, self.zero
        if rows is not None:
            codes, scale, zero = codes[rows], scale[rows], zero[rows]
        if self.bits == 4:
            codes = unpack_pairs(codes)
        groups = codes.float().reshape(*scale.shape, -1)
        return ((groups - zero.float()[..., None]) * scale.float()[..., None]).reshape(codes.shape)

    def cpu_layout(self, strip: int) -> Weight:
        return beside(self, strip, {"codes": 4, "scale": 2, "zero": 2}) if self.bits == 4 else self

    def cpu_operand(self) -> CpuOperand | None:
        import torch

        tensors = (self.codes, self.scale, self.zero)
        halves = self.scale.dtype is torch.float16 and self.zero.dtype is torch.float16
        step = 2 * VECTOR if self.bits == 4 else VECTOR
        if not halves or self.group_size % step or not contiguous(*tensors):
            return None
        return CpuOperand(kind=5 if self.bits == 4 else 7, tensors=tensors, group_size=self.group_size)
