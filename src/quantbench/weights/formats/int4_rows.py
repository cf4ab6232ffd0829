"""The values of 4-bit weights in the layout of the GPU kernels."""

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
    Where `repeats` groups after each other share their scale and zero, these are there for each of them.
    """

    words: "Tensor"
    in_features: int
    group: int
    repeats: int = 1
    block: str = ""  # the GGUF type of the blocks that they were

    @classmethod
    def of(
        cls, codes: "Tensor", affine: "Tensor", group: int, *, repeats: int = 1, block: str = ""
    ) -> "Int4Rows":
        """From bytes [out, ...] of nibbles, and of scales and zeros."""
        import torch

        width = codes.shape[1] + affine.shape[1]
        rows = torch.zeros(len(codes), -(-width // 16) * 16, dtype=torch.uint8, device=codes.device)
        rows[:, : codes.shape[1]] = codes
        rows[:, codes.shape[1] : width] = affine
        return cls(rows.view(torch.int32), 2 * codes.shape[1], group, repeats, block)

    @property
    def shape(self) -> tuple[int, int]:
        return (self.words.shape[0], self.in_features)

    @property
    def scheme(self) -> str:
        return "W4"

    @property
    def format(self) -> str:
        return self.block or self.scheme

    @property
    def group_size(self) -> int:
        return self.group * self.repeats

    @property
    def groups(self) -> int:
        return self.in_features // self.group

    def dequantize(self, rows: "Tensor | None" = None) -> "Tensor":
        import torch

        words = (self.words if rows is None else self.words[rows]).contiguous()
        data, half = words.view(torch.uint8), self.in_features // 2
        bytes_ = data[:, :half].reshape(len(words), -1, self.group // 2)
        q = torch.cat((bytes_ & 15, bytes_ >> 4), dim=-1).float() - 8  # [rows, groups, group_size]
        affine = data[:, half : half + 4 * self.groups].contiguous().view(torch.float16).float()
        scale, zero = affine.reshape(len(words), -1, 2).unbind(-1)
        return (q * scale[..., None] + zero[..., None]).reshape(len(words), -1)

    def gpu_operand(self) -> GpuOperand:
        import torch

        rows = self.words.view(torch.uint8)
        return GpuOperand(kind=GpuKind.INT4, rows=rows, words=self.words, group_size=self.group)


@dataclass(frozen=True, slots=True)
class Int4DoubleRows(Weight):
    """The values of `Int4DoubleWeight`, its groups in pairs: a row is laid out as one of `Int4Rows` with
    groups twice as large, so that a pair's first group lies in the low nibbles and its second in the high
    ones.

    words int32 [out, row_words]; in place of a float16 scale and zero stand four bytes: step and zero of the
    first group, then of the second. scale float32 [out].
    """

    words: "Tensor"
    scale: "Tensor"
    in_features: int
    group: int

    @classmethod
    def of(cls, data: "Tensor", affine: "Tensor", scale: "Tensor", group: int) -> "Int4DoubleRows":
        """From bytes of nibbles and of steps and zeros, [out, ...] each."""
        import torch

        size = data.shape[1] + affine.shape[1]
        rows = torch.zeros(len(data), -(-size // 16) * 16, dtype=torch.uint8, device=data.device)
        rows[:, : data.shape[1]] = data
        rows[:, data.shape[1] : size] = affine
        return cls(rows.view(torch.int32), scale, 2 * data.shape[1], group)

    @property
    def shape(self) -> tuple[int, int]:
        return (self.words.shape[0], self.in_features)

    @property
    def scheme(self) -> str:
        return "W4"

    @property
    def group_size(self) -> int:
        return self.group

    def dequantize(self, rows: "Tensor | None" = None) -> "Tensor":
        import torch

        words, scale = (self.words, self.scale) if rows is None else (self.words[rows], self.scale[rows])
        data, half = words.contiguous().view(torch.uint8), self.in_features // 2
        bytes_ = data[:, :half].reshape(len(words), -1, self.group)
        q = torch.stack((bytes_ & 15, bytes_ >> 4), dim=2)  # [rows, pairs, 2, group]
        affine = data[:, half : half + 2 * self.in_features // self.group]
        parts = affine.reshape(len(words), -1, 2, 2).float()
        values = (q.float() - 8) * parts[..., :1] + (parts[..., 1:] - 128) * 16
        return values.reshape(len(words), -1) * scale[:, None]

    def gpu_operand(self) -> GpuOperand:
        import torch

        rows = self.words.view(torch.uint8)
        pair = 2 * self.group
        return GpuOperand(kind=GpuKind.INT4, rows=rows, words=self.words, scale=self.scale, group_size=pair)
