"""Weights as integer codes with a scale and an integer zero point a group, where that is what they are."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from quantbench.weights.formats import (
    BlockWeight,
    Int4DoubleWeight,
    Int4Weight,
    Int8GroupsWeight,
    Int8Weight,
    IntegerWeight,
    Weight,
)
from quantbench.weights.formats.nibbles import unpack_pairs
from quantbench.weights.readers.packed.bits import narrow

if TYPE_CHECKING:
    from torch import Tensor

Q4_0_BYTES, Q8_0_BYTES, GGML_GROUP = 18, 34, 32


class Unfit(Exception):
    """A layout cannot hold a weight exactly; the text is the reason as a phrase."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Integers:
    """w = (code - zero) * scale: codes uint8 [out, in], scale [out, groups], zero uint8 [out, groups]."""

    codes: "Tensor"
    scale: "Tensor"  # float16 where that holds every scale exactly, else float32
    zero: "Tensor"
    bits: int  # 4 or 8

    @property
    def group_size(self) -> int | None:
        """Inputs that share a scale; None where a whole row does."""
        groups = self.scale.shape[1]
        return None if groups == 1 else self.codes.shape[1] // groups

    @property
    def symmetric(self) -> bool:
        """Whether every zero point is the middle of the codes."""
        return bool((self.zero == 1 << (self.bits - 1)).all())


def integers_of(weight: Weight) -> Integers:
    """The codes, scales and zero points of a weight; Unfit where its values are not of that kind."""
    if isinstance(weight, Int8Weight):
        return symmetric(signed(weight.q), weight.scale[:, None], 8)
    if isinstance(weight, Int8GroupsWeight):
        return symmetric(signed(weight.q), weight.scale, 8)
    if isinstance(weight, Int4Weight):
        return with_whole_zeros(weight)
    if isinstance(weight, IntegerWeight):
        return with_zeros(weight)
    if isinstance(weight, BlockWeight):
        return of_blocks(weight)
    if isinstance(weight, Int4DoubleWeight):
        raise Unfit("its groups have zero points that are no whole number of steps")
    raise Unfit(f"{weight.format} is no integer code with a scale a group")


def symmetric(codes: "Tensor", scale: "Tensor", bits: int) -> Integers:
    """Codes whose middle is zero."""
    import torch

    zero = torch.full(scale.shape, 1 << (bits - 1), dtype=torch.uint8)
    return Integers(codes=codes, scale=narrow(scale), zero=zero, bits=bits)


def with_whole_zeros(weight: Int4Weight) -> Integers:
    """Unfit where a group's zero is no whole number of its steps."""
    import torch

    scale, zero = weight.scale.float(), weight.zero.float()
    middle = 1 << 3
    point = torch.where(scale == 0, middle, middle - zero / scale).round()
    if not torch.equal((middle - point) * scale, zero) or int(point.min()) < 0 or int(point.max()) > 15:
        raise Unfit("its zero points are floats, not integers")
    codes = unpack_pairs(weight.packed)
    return Integers(codes=codes, scale=narrow(weight.scale), zero=point.to(torch.uint8), bits=4)


def signed(codes: "Tensor") -> "Tensor":
    """int8 as codes without sign, 128 for zero."""
    import torch

    return codes.view(torch.uint8) ^ 128


def with_zeros(weight: IntegerWeight) -> Integers:
    """Unfit for zero points that are no code."""
    import torch

    zero = weight.zero.to(torch.uint8)
    if not torch.equal(zero.to(weight.zero.dtype), weight.zero) or int(zero.max()) >= 1 << weight.bits:
        raise Unfit("its zero points are no integers among its codes")
    codes = unpack_pairs(weight.codes) if weight.bits == 4 else weight.codes
    return Integers(codes=codes, scale=narrow(weight.scale), zero=zero, bits=weight.bits)


def of_blocks(weight: BlockWeight) -> Integers:
    """GGUF's symmetric blocks; Unfit for other types."""
    import torch

    out = weight.shape[0]
    if weight.kind == "Q8_0":
        blocks = weight.data.reshape(out, -1, Q8_0_BYTES)
        codes = signed(blocks[..., 2:].contiguous().view(torch.int8)).reshape(out, -1)
        return symmetric(codes, half_at_start(blocks), 8)
    if weight.kind == "Q4_0":  # the low nibbles are a block's first half
        blocks = weight.data.reshape(out, -1, Q4_0_BYTES)
        nibbles = torch.cat((blocks[..., 2:] & 15, blocks[..., 2:] >> 4), dim=-1)
        return symmetric(nibbles.reshape(out, -1), half_at_start(blocks), 4)
    raise Unfit(f"{weight.kind} blocks are no integer code with a 16-bit scale a group")


def half_at_start(blocks: "Tensor") -> "Tensor":
    """The float16 in the first two bytes of each block [out, blocks, bytes]."""
    import torch

    return blocks[..., :2].contiguous().view(torch.float16)[..., 0]
