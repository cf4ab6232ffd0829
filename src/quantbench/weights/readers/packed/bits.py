"""Small codes out of larger words, and scales in the type that holds them exactly in the fewest bytes."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def codes_along(words: "Tensor", bits: int, dim: int) -> "Tensor":
    """int32 words [a, b] of 32 / bits codes, lowest bits first -> uint8, as much longer in `dim`."""
    import torch

    shifts = torch.arange(0, 32, bits, dtype=torch.int32)
    parts = ((words[..., None] >> shifts) & ((1 << bits) - 1)).to(torch.uint8)
    if dim == 1:
        return parts.reshape(words.shape[0], -1)
    return parts.permute(0, 2, 1).reshape(-1, words.shape[1])


def swap_nibbles(data: "Tensor") -> "Tensor":
    """Bytes whose first code is the high nibble -> the low one."""
    return (data >> 4) | (data << 4)


def narrow(values: "Tensor") -> "Tensor":
    """As float16 where that changes no value, as float32 otherwise."""
    import torch

    half = values.to(torch.float16)
    return half if torch.equal(half.double(), values.double()) else values.float()


def per_group(scales: "Tensor", rows: int, columns: int, block: "tuple[int, int]") -> "Tensor":
    """Scales of blocks (rows, columns) of a matrix [rows, columns] -> one a row and group of inputs, float32.

    A block's width that does not divide the columns is split into the widest groups that do.
    """
    import math

    wide = scales.float().repeat_interleave(block[0], 0)[:rows]
    group = math.gcd(columns, block[1])
    return wide.repeat_interleave(block[1] // group, 1)[:, : columns // group].contiguous()
