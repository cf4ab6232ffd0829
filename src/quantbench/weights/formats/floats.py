"""Floats, not quantized."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from quantbench.weights.formats.beside import beside
from quantbench.weights.formats.weight import VECTOR, CpuOperand, GpuKind, GpuOperand, Weight, contiguous

if TYPE_CHECKING:
    import torch
    from torch import Tensor

SCHEMES = {"float32": "W32", "bfloat16": "WBF16", "float16": "W16"}
CPU_KINDS = {"float32": 0, "bfloat16": 1, "float16": 2}  # of cpu/kernels.cpp


@dataclass(frozen=True, slots=True)
class FloatWeight(Weight):
    """Values [out, in] in float32, bfloat16 or float16; `stored`: the packed format they stand in for."""

    values: "Tensor"
    stored: str = ""

    @property
    def shape(self) -> tuple[int, int]:
        return (self.values.shape[0], self.values.shape[1])

    @property
    def kind(self) -> str:
        """The name of the values' type."""
        return str(self.values.dtype).removeprefix("torch.")

    @property
    def scheme(self) -> str:
        return SCHEMES[self.kind]

    @property
    def format(self) -> str:
        return f"{self.scheme}, stored as {self.stored}" if self.stored else self.scheme

    @property
    def is_float(self) -> bool:
        return True

    def dequantize(self, rows: "Tensor | None" = None) -> "Tensor":
        return (self.values if rows is None else self.values[rows]).float()

    def as_dtype(self, dtype: "torch.dtype") -> "Tensor":
        return self.values.to(dtype)  # the tensor itself where that is its type

    def gpu_operand(self) -> GpuOperand:
        return GpuOperand(kind=GpuKind.FLOAT, rows=self.values)

    def cpu_layout(self, strip: int) -> Weight:
        return beside(self, strip, {"values": self.values.element_size()})

    def cpu_operand(self) -> CpuOperand | None:
        if self.kind not in CPU_KINDS or self.shape[1] % VECTOR or not contiguous(self.values):
            return None
        return CpuOperand(kind=CPU_KINDS[self.kind], tensors=(self.values,))
