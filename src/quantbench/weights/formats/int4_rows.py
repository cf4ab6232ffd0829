"""The values of `Int4Weight` in the layout of the GPU kernels."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from quantbench.weights.formats.weight import GpuKind, GpuOperand, Weight

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Int4Rows(Weight):
    """4-bit rows, each one run of int32 words: the nibbles, then a scale and a zero a group, then padding.

    words int32 [out, row_words]; a row's words are
    - [0, in/8): nibbles, group after group, group_size / 8 words each. Taken as bytes (little endian), byte e
      of a group of g inputs holds input e in its low and input e + g/2 in its high nibble, so that the low
      nibbles of a group meet one contiguous slice of x and the high nibbles the next.
    - [in/8, in/8 + in/group_size): per group the float16 scale (low 16 bits) and zero (high 16 bits):
      w = (nibble - 8) * scale + zero.
    - padding (zeros) until row_words is a multiple of 4: every row starts at a multiple of 16 bytes.
    """

    words: "Tensor"
    in_features: int
    group: int

    @property
    def shape(self) -> tuple[int, int]:
        return (self.words.shape[0], self.in_features)

    @property
    def scheme(self) -> str:
        return "W4"

    @property
    def group_size(self) -> int:
        return self.group

    @property
    def groups(self) -> int:
        return self.in_features // self.group_size

    def dequantize(self, rows: "Tensor | None" = None) -> "Tensor":
        import torch

        words = (self.words if rows is None else self.words[rows]).contiguous()
        data, half = words.view(torch.uint8), self.in_features // 2
        bytes_ = data[:, :half].reshape(len(words), -1, self.group_size // 2)
        q = torch.cat((bytes_ & 15, bytes_ >> 4), dim=-1).float() - 8  # [rows, groups, group_size]
        affine = data[:, half : half + 4 * self.groups].contiguous().view(torch.float16).float()
        scale, zero = affine.reshape(len(words), -1, 2).unbind(-1)
        return (q * scale[..., None] + zero[..., None]).reshape(len(words), -1)

    def gpu_operand(self) -> GpuOperand:
        import torch

        rows = self.words.view(torch.uint8)
        return GpuOperand(kind=GpuKind.INT4, rows=rows, scale=self.words, group_size=self.group_size)
