"""The values of 8-bit weights with groups in the layout of the GPU kernels."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from quantbench.weights.formats.weight import GpuKind, GpuOperand, Weight

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Int8GroupRows(Weight):
    """The values of `Int8GroupsWeight`, each row one run of memory.

    data int8 [out, row_bytes]: the integers, then the float16 scale of every group, then padding (zeros)
    until row_bytes is a multiple of 16: every row starts at a multiple of 16 bytes.
    """

    data: "Tensor"
    in_features: int
    group: int
    block: str = ""  # the GGUF type of the blocks that they were

    @classmethod
    def of(cls, q: "Tensor", scale: "Tensor", block: str = "") -> "Int8GroupRows":
        """From int8 [out, in] and float16 [out, groups]."""
        import torch

        out, inputs = q.shape
        size = inputs + 2 * scale.shape[1]
        data = torch.zeros(out, -(-size // 16) * 16, dtype=torch.int8, device=q.device)
        data[:, :inputs] = q
        data[:, inputs:size] = scale.contiguous().view(torch.int8)
        return cls(data, inputs, inputs // scale.shape[1], block)

    @property
    def shape(self) -> tuple[int, int]:
        return (self.data.shape[0], self.in_features)

    @property
    def scheme(self) -> str:
        return "W8"

    @property
    def format(self) -> str:
        return self.block or self.scheme

    @property
    def group_size(self) -> int:
        return self.group

    def dequantize(self, rows: "Tensor | None" = None) -> "Tensor":
        data = self.data if rows is None else self.data[rows]
        scale = self._scale_of(data)
        groups = data[:, : self.in_features].float().reshape(*scale.shape, self.group)
        return (groups * scale.float()[..., None]).reshape(len(data), -1)

    def _scale_of(self, data: "Tensor") -> "Tensor":
        import torch

        size = 2 * (self.in_features // self.group)
        return data[:, self.in_features : self.in_features + size].view(torch.float16)

    def gpu_operand(self) -> GpuOperand:
        rows, scale = self.data[:, : self.in_features], self._scale_of(self.data)
        return GpuOperand(kind=GpuKind.INT8, rows=rows, scale=scale, group_size=self.group)
