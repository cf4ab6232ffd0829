"""Four-bit codes that choose one of sixteen levels, times a scale per group: NF4, FP4, MXFP4, NVFP4."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from quantbench.weights.formats.nibbles import unpack_pairs
from quantbench.weights.formats.weight import VECTOR, CpuOperand, Weight, contiguous

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class TableWeight(Weight):
    """w = levels[q] * scale.

    codes uint8 [out, in / 2], the even input in the low nibble; scale float32 [out, in / group_size];
    levels float32 [16], the same for all rows; `kind` names them: 'nf4'.
    """

    codes: "Tensor"
    scale: "Tensor"
    levels: "Tensor"
    kind: str

    @property
    def shape(self) -> tuple[int, int]:
        return (self.codes.shape[0], self.codes.shape[1] * 2)

    @property
    def group_size(self) -> int:
        return self.shape[1] // self.scale.shape[1]

    @property
    def scheme(self) -> str:
        return "W4"

    @property
    def format(self) -> str:
        return self.kind

    @property
    def shared(self) -> tuple[str, ...]:
        return ("levels",)

    def dequantize(self, rows: "Tensor | None" = None) -> "Tensor":
        codes, scale = (self.codes, self.scale) if rows is None else (self.codes[rows], self.scale[rows])
        pairs = unpack_pairs(codes).reshape(*scale.shape, -1)
        return (self.levels[pairs.int()] * scale[..., None]).reshape(codes.shape[0], -1)

    def cpu_operand(self) -> CpuOperand | None:
        tensors = (self.codes, self.scale, self.levels)
        if self.group_size % (2 * VECTOR) or not contiguous(*tensors):
            return None
        return CpuOperand(kind=6, tensors=tensors, group_size=self.group_size)
