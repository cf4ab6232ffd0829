"""Small codes out of larger words, groups of inputs of which the last may be shorter, and scales in the type
that holds them exactly in the fewest bytes.
"""

import math
from collections.abc import Iterable, Sequence
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


def group_sizes(inputs: int, count: int, said: Iterable[int]) -> list[int] | None:
    """Inputs of each of `count` groups; None where nothing fits, or two sizes do.

    The size is the one that is `said` (not positive: all inputs) and makes so many, its last group shorter
    where it does not divide the inputs; where none does, groups are equal.
    """
    sizes = {min(size, inputs) if size > 0 else inputs for size in said}
    fitting = {size for size in sizes if -(-inputs // size) == count}
    if not fitting and count and inputs % count == 0:
        fitting = {inputs // count}
    if len(fitting) != 1:
        return None
    size = fitting.pop()
    return [min(size, inputs - start) for start in range(0, inputs, size)]


def evenly(values: "Tensor", sizes: Sequence[int]) -> "Tensor":
    """Values [out, groups] of groups of these sizes -> of the widest equal groups that they are made of."""
    import torch

    run = math.gcd(*sizes)
    return values.repeat_interleave(torch.tensor([size // run for size in sizes]), 1)
