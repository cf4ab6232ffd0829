"""Eight bits, symmetric, one scale per output channel."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from quantbench.weights.formats.beside import beside
from quantbench.weights.formats.weight import VECTOR, CpuOperand, GpuKind, GpuOperand, Weight, contiguous

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Int8Weight(Weight):
    """w = q * scale; q int8 [out, in], scale float32 [out]."""

    q: "Tensor"
    scale: "Tensor"

    @staticmethod
    def bytes_of(rows: int, columns: int) -> int:
        """A byte a weight and a float32 scale a row."""
        return rows * columns + 4 * rows

    @property
    def shape(self) -> tuple[int, int]:
        return (self.q.shape[0], self.q.shape[1])

    @property
    def scheme(self) -> str:
        return "W8"

    def dequantize(self, rows: "Tensor | None" = None) -> "Tensor":
        q, scale = (self.q, self.scale) if rows is None else (self.q[rows], self.scale[rows])
        return q.float() * scale[:, None]

    def gpu_operand(self) -> GpuOperand:
        return GpuOperand(kind=GpuKind.INT8, rows=self.q, scale=self.scale)

    def cpu_layout(self, strip: int) -> Weight:
        return beside(self, strip, {"q": 1})

    def cpu_operand(self) -> CpuOperand | None:
        import torch

        fits = self.scale.dtype is torch.float32 and self.shape[1] % VECTOR == 0
        if not fits or not contiguous(self.q, self.scale):
            return None
        return CpuOperand(kind=3, tensors=(self.q, self.scale))
