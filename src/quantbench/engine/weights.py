"""How the engine holds a weight matrix [out_features, in_features]: as floats, or packed in 8 or 4 bits.

The fields are the definition of each method: what a checkpoint of ours would store, and what the plain
`dequantize` reads. A fast kernel may hold another layout of the same values, but then instead of this
one, never beside it. Biases are not part of a weight.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class FloatWeight:
    """Unquantized: values [out, in] in float32, bfloat16 or float16."""

    values: Tensor

    @property
    def shape(self) -> tuple[int, int]:
        return (self.values.shape[0], self.values.shape[1])

    @property
    def scheme(self) -> str:
        return {torch.float32: "W32", torch.bfloat16: "WBF16", torch.float16: "W16"}[self.values.dtype]

    def dequantize(self, rows: Tensor | None = None) -> Tensor:
        """The values as float32 [out or len(rows), in]."""
        return (self.values if rows is None else self.values[rows]).float()

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        yield "weight", self.values


@dataclass(frozen=True, slots=True)
class Int8Weight:
    """Symmetric, one scale per output channel: w = q * scale; q int8 [out, in], scale float32 [out]."""

    q: Tensor
    scale: Tensor

    @property
    def shape(self) -> tuple[int, int]:
        return (self.q.shape[0], self.q.shape[1])

    @property
    def scheme(self) -> str:
        return "W8"

    def dequantize(self, rows: Tensor | None = None) -> Tensor:
        q, scale = (self.q, self.scale) if rows is None else (self.q[rows], self.scale[rows])
        return q.float() * scale[:, None]

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        yield "q", self.q
        yield "scale", self.scale


@dataclass(frozen=True, slots=True)
class Int4Weight:
    """Asymmetric, a scale and a zero per group of inputs: w = (q - 8) * scale + zero, q in 0..15.

    packed uint8 [out, in / 2]: the even input in the low nibble, the odd one in the high nibble.
    scale, zero float16 [out, in / group_size]. (Torch's own int4 kernels use the same formula.)
    """

    packed: Tensor
    scale: Tensor
    zero: Tensor

    @property
    def group_size(self) -> int:
        return self.packed.shape[1] * 2 // self.scale.shape[1]

    @property
    def shape(self) -> tuple[int, int]:
        return (self.packed.shape[0], self.packed.shape[1] * 2)

    @property
    def scheme(self) -> str:
        return "W4"

    def dequantize(self, rows: Tensor | None = None) -> Tensor:
        packed, scale, zero = self.packed, self.scale, self.zero
        if rows is not None:
            packed, scale, zero = packed[rows], scale[rows], zero[rows]
        q = torch.stack((packed & 15, packed >> 4), dim=-1).reshape(packed.shape[0], -1)
        groups = (q.float() - 8).reshape(*scale.shape, self.group_size)
        return (groups * scale.float()[..., None] + zero.float()[..., None]).reshape(q.shape)

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        yield "packed", self.packed
        yield "scale", self.scale
        yield "zero", self.zero


Weight = FloatWeight | Int8Weight | Int4Weight
