"""Four bits with double quantization: a scale and a zero of 8 bits a group, one float32 scale a row."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from quantbench.weights.formats.beside import beside
from quantbench.weights.formats.int4_rows import Int4DoubleRows
from quantbench.weights.formats.nibbles import pack_pairs, unpack_pairs
from quantbench.weights.formats.weight import VECTOR, CpuOperand, Weight, contiguous

if TYPE_CHECKING:
    from torch import Tensor

ZERO_STEP = 16  # of a row's scale: zeros reach 8 times the row's greatest step, either way
ZERO_BIAS = 128


@dataclass(frozen=True, slots=True)
class Int4DoubleWeight(Weight):
    """w = ((q - 8) * step + 16 * (zero - 128)) * scale, q in 0..15: an integer of 13 bits times the row's
    scale.

    packed uint8 [out, in / 2]: the even input in the low nibble, the odd one in the high nibble.
    affine uint8 [out, in / group_size, 2]: step and zero of each group.
    scale float32 [out].
    """

    packed: "Tensor"
    affine: "Tensor"
    scale: "Tensor"

    @staticmethod
    def bytes_of(rows: int, columns: int, group_size: int) -> int:
        """Half a byte a weight, two bytes a group, four a row."""
        return rows * (columns // 2 + 2 * (columns // group_size) + 4)

    @property
    def group_size(self) -> int:
        return self.packed.shape[1] * 2 // self.affine.shape[1]

    @property
    def shape(self) -> tuple[int, int]:
        return (self.packed.shape[0], self.packed.shape[1] * 2)

    @property
    def scheme(self) -> str:
        return "W4"

    def dequantize(self, rows: "Tensor | None" = None) -> "Tensor":
        packed, affine, scale = self.packed, self.affine, self.scale
        if rows is not None:
            packed, affine, scale = packed[rows], affine[rows], scale[rows]
        q = unpack_pairs(packed).reshape(*affine.shape[:2], self.group_size)
        return levels(q, affine).reshape(len(packed), -1) * scale[:, None]

    def gpu_layout(self) -> Weight:
        """Whole rows for the GPU kernels, which take groups in pairs; itself where there is an odd group."""
        out, groups = self.affine.shape[:2]
        if groups % 2:
            return self
        codes = unpack_pairs(self.packed).reshape(out, groups // 2, 2, -1)
        data = (codes[:, :, 0] | (codes[:, :, 1] << 4)).reshape(out, -1)
        return Int4DoubleRows.of(data, self.affine.reshape(out, -1), self.scale, self.group_size)

    def cpu_layout(self, strip: int) -> Weight:
        return beside(self, strip, {"packed": 4, "affine": 2})

    def cpu_operand(self) -> CpuOperand | None:
        import torch

        tensors = (self.packed, self.scale, self.affine)
        whole = self.group_size % (2 * VECTOR) == 0 and self.shape[1] % self.group_size == 0
        if self.scale.dtype is not torch.float32 or not whole or not contiguous(*tensors):
            return None
        return CpuOperand(kind=9, tensors=tensors, group_size=self.group_size)


def levels(q: "Tensor", affine: "Tensor") -> "Tensor":
    """Weights over their row's scale, exact float32, of codes q and affine [..., groups, group_size or 2]."""
    step, zero = affine[..., :1].float(), affine[..., 1:].float()
    return (q.float() - 8) * step + (zero - ZERO_BIAS) * ZERO_STEP


def unpacked_double(weight: Int4DoubleRows) -> Int4DoubleWeight:
    """The values of GPU rows in the form that a checkpoint would store."""
    import torch

    out, inputs = weight.shape
    data = weight.words.contiguous().view(torch.uint8)
    bytes_ = data[:, : inputs // 2].reshape(out, -1, weight.group_size)
    packed = pack_pairs(torch.stack((bytes_ & 15, bytes_ >> 4), dim=2).reshape(out, inputs))
    affine = data[:, inputs // 2 : inputs // 2 + 2 * inputs // weight.group_size]
    return Int4DoubleWeight(packed, affine.reshape(out, -1, 2).contiguous(), weight.scale)
