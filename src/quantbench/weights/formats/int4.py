"""Four bits, asymmetric, a scale and a zero per group of inputs."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from quantbench.weights.formats.beside import beside
from quantbench.weights.formats.int4_rows import Int4Rows
from quantbench.weights.formats.nibbles import pack_pairs, unpack_pairs
from quantbench.weights.formats.weight import VECTOR, CpuOperand, Weight, contiguous

if TYPE_CHECKING:
    from torch import Tensor

KERNEL_GROUPS = (128, 64, 32)  # that GPU kernels take, the one with the fewest scales first


@dataclass(frozen=True, slots=True)
class Int4Weight(Weight):
    """w = (q - 8) * scale + zero, q in 0..15. (Torch's own int4 kernels use the same formula.)

    packed uint8 [out, in / 2]: the even input in the low nibble, the odd one in the high nibble.
    scale, zero float16 [out, in / group_size].
    """

    packed: "Tensor"
    scale: "Tensor"
    zero: "Tensor"

    @staticmethod
    def bytes_of(rows: int, columns: int, group_size: int) -> int:
        """Half a byte a weight, and 16 bits each for the scale and zero of every group."""
        return rows * columns // 2 + 4 * rows * (columns // group_size)

    @property
    def group_size(self) -> int:
        return self.packed.shape[1] * 2 // self.scale.shape[1]

    @property
    def shape(self) -> tuple[int, int]:
        return (self.packed.shape[0], self.packed.shape[1] * 2)

    @property
    def scheme(self) -> str:
        return "W4"

    def dequantize(self, rows: "Tensor | None" = None) -> "Tensor":
        codes, scale, zero = self.packed, self.scale, self.zero
        if rows is not None:
            codes, scale, zero = codes[rows], scale[rows], zero[rows]
        q = unpack_pairs(codes)
        groups = (q.float() - 8).reshape(*scale.shape, self.group_size)
        return (groups * scale.float()[..., None] + zero.float()[..., None]).reshape(q.shape)

    def gpu_layout(self) -> Int4Rows:
        """Whole rows for the GPU kernels; `unpacked` is the way back, bit for bit.

        A group that is longer than the fastest kernels take is cut in several with the same scale and zero.
        """
        import torch

        out = self.shape[0]
        size = next((size for size in KERNEL_GROUPS if self.group_size % size == 0), self.group_size)
        repeats, half = self.group_size // size, size // 2
        nibbles = unpack_pairs(self.packed).reshape(out, -1, 2, half)
        codes = (nibbles[:, :, 0] | (nibbles[:, :, 1] << 4)).reshape(out, -1)
        affine = torch.stack((self.scale, self.zero), dim=-1).repeat_interleave(repeats, dim=1)
        affine = affine.view(torch.uint8).reshape(out, -1)
        return Int4Rows.of(codes, affine, size, repeats=repeats)

    def cpu_layout(self, strip: int) -> Weight:
        return beside(self, strip, {"packed": 4, "scale": 2, "zero": 2})

    def cpu_operand(self) -> CpuOperand | None:
        import torch

        tensors = (self.packed, self.scale, self.zero)
        halves = self.scale.dtype is torch.float16 and self.zero.dtype is torch.float16
        whole = self.group_size % (2 * VECTOR) == 0 and self.shape[1] % self.group_size == 0
        if not halves or not whole or not contiguous(*tensors):
            return None
        return CpuOperand(kind=4, tensors=tensors, group_size=self.group_size)


def unpacked(weight: Int4Rows) -> Int4Weight:
    """The values of 4-bit rows in the form that a checkpoint would store."""
    import torch

    out, inputs = weight.shape
    data = weight.words.contiguous().view(torch.uint8)
    bytes_ = data[:, : inputs // 2].reshape(out, -1, weight.group // 2)
    codes = pack_pairs(torch.cat((bytes_ & 15, bytes_ >> 4), dim=-1).reshape(out, inputs))
    affine = data[:, inputs // 2 : inputs // 2 + 4 * weight.groups].contiguous().view(torch.float16)
    scale, zero = affine.reshape(out, -1, 2)[:, :: weight.repeats].unbind(-1)
    return Int4Weight(codes, scale.contiguous(), zero.contiguous())
