"""Eight bits, symmetric, a scale per group of inputs."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from quantbench.weights.formats.int8_rows import Int8GroupRows
from quantbench.weights.formats.weight import VECTOR, CpuOperand, GpuKind, GpuOperand, Weight, contiguous

if TYPE_CHECKING:
    from torch import Tensor

HALF_BYTES = 2


@dataclass(frozen=True, slots=True)
class Int8GroupsWeight(Weight):
    """w = q * scale; q int8 [out, in], scale float16 [out, in / group_size]. Groups of 32 are GGUF's Q8_0."""

    q: "Tensor"
    scale: "Tensor"

    @staticmethod
    def bytes_of(rows: int, columns: int, group_size: int) -> int:
        """A byte a weight and two a group."""
        return rows * (columns + HALF_BYTES * (columns // group_size))

    @property
    def shape(self) -> tuple[int, int]:
        return (self.q.shape[0], self.q.shape[1])

    @property
    def group_size(self) -> int:
        return self.q.shape[1] // self.scale.shape[1]

    @property
    def scheme(self) -> str:
        return "W8"

    def dequantize(self, rows: "Tensor | None" = None) -> "Tensor":
        q, scale = (self.q, self.scale) if rows is None else (self.q[rows], self.scale[rows])
        groups = q.float().reshape(*scale.shape, self.group_size)
        return (groups * scale.float()[..., None]).reshape(q.shape)

    def gpu_layout(self) -> Weight:
        """Scales behind the rows that they belong to; itself where rows are no multiple of 16 bytes."""
        return self if self.shape[1] % 16 else Int8GroupRows.of(self.q, self.scale)

    def gpu_operand(self) -> GpuOperand:
        return GpuOperand(kind=GpuKind.INT8, rows=self.q, scale=self.scale, group_size=self.group_size)

    def cpu_operand(self) -> CpuOperand | None:
        import torch

        fits = self.scale.dtype is torch.float16 and self.group_size % VECTOR == 0
        if not fits or not contiguous(self.q, self.scale):
            return None
        return CpuOperand(kind=10, tensors=(self.q, self.scale), group_size=self.group_size)
