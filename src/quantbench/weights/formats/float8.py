"""Eight-bit floats (e4m3) with a scale per group of inputs."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from quantbench.weights.formats.weight import VECTOR, CpuOperand, Weight, contiguous

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Float8Weight(Weight):
    """w = value * scale: values float8_e4m3fn [out, in], scale float32 [out, in / group_size].

    A scale per tensor or per square of the matrix stands here once a row. `dynamic` asks for activations of
    8 bits, a scale a token, where the device multiplies 8-bit floats.
    """

    values: "Tensor"
    scale: "Tensor"
    dynamic: bool = False

    @staticmethod
    def bytes_of(rows: int, columns: int) -> int:
        """A byte a weight and a float32 scale a row."""
        return rows * columns + 4 * rows

    @property
    def shape(self) -> tuple[int, int]:
        return (self.values.shape[0], self.values.shape[1])

    @property
    def group_size(self) -> int | None:
        groups = self.scale.shape[1]
        return None if groups == 1 else self.shape[1] // groups

    @property
    def scheme(self) -> str:
        return "W8"

    @property
    def format(self) -> str:
        return "fp8 e4m3"

    def dequantize(self, rows: "Tensor | None" = None) -> "Tensor":
        import torch

        values, scale = self.values.view(torch.uint8), self.scale  # float8 knows no indexing
        if rows is not None:
            values, scale = values[rows], scale[rows]
        groups = values.view(torch.float8_e4m3fn).float().reshape(*scale.shape, -1)
        return (groups * scale[..., None]).reshape(values.shape)

    def cpu_operand(self) -> CpuOperand | None:
        group = self.shape[1] // self.scale.shape[1]
        if group % VECTOR or not contiguous(self.values, self.scale):
            return None
        return CpuOperand(kind=8, tensors=(self.values, self.scale), group_size=group)
