"""What the codes of `feedback` stand for in two formats: four bits with double quantization, GGUF's Q5_0.

Each scale and zero is searched as without feedback, on the weights as they are when their group has its turn.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from quantbench.weights.formats import BlockWeight, Int4DoubleWeight
from quantbench.weights.formats.block_codes import join_blocks
from quantbench.weights.formats.int4_double import ZERO_BIAS, ZERO_STEP
from quantbench.weights.formats.nibbles import pack_pairs
from quantbench.weights.quantizers import five_bits, int4
from quantbench.weights.quantizers.blocks import require_finite
from quantbench.weights.quantizers.int4_double import held_in, scale_of_rows

# w [rows, group], strengths [group], the rows' scale -> step and zero [rows], whole numbers in float32
FindInt4 = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


def find_int4(w: Tensor, strengths: Tensor, by_row: Tensor) -> tuple[Tensor, Tensor]:
    """The search of `int4_double` for one group under the rows' scale [rows]."""
    mine, root = w[:, None], strengths.sqrt().reshape(1, 1, -1)
    held = held_in(mine, root, by_row.reshape(-1, 1, 1), *int4.search(mine, root, lambda value: value))
    return held[0].reshape(-1), held[1].reshape(-1)


class Int4Grid:
    """Int4DoubleWeight: steps and zeros of groups in 8 bits under a row's scale, that of the search."""

    ends = (-8, 7)

    def __init__(self, name: str, group_size: int, find: FindInt4 = find_int4) -> None:
        self.group_size = group_size
        self._name, self._find = name, find

    def begin(self, w: Tensor, strengths: Tensor) -> None:
        """The rows' scales."""
        self._w = w
        groups = w.shape[1] // self.group_size
        parts, root = w.reshape(len(w), groups, -1), strengths.sqrt().reshape(1, groups, -1)
        self._by_row = scale_of_rows(*int4.search(parts, root, lambda value: value)).reshape(-1)
        self._affine = torch.empty(len(w), groups, 2, dtype=torch.uint8, device=w.device)

    def place(self, group: int, w: Tensor, strengths: Tensor) -> tuple[Tensor, Tensor]:
        """Its step and zero times the rows' scales."""
        step, zero = self._find(w, strengths, self._by_row)
        self._affine[:, group] = torch.stack((step, zero + ZERO_BIAS), dim=-1).to(torch.uint8)
        return step * self._by_row, zero * (ZERO_STEP * self._by_row)

    def weight(self, codes: Tensor) -> Int4DoubleWeight:
        """In the format. ModelError for a scale that is not finite."""
        require_finite(self._name, self._w, self._by_row)
        packed = pack_pairs(codes + 8)
        return Int4DoubleWeight(packed, self._affine, self._by_row)


class FiveBitGrid:
    """BlockWeight of Q5_0: a 16-bit scale a block of 32."""

    group_size = five_bits.BLOCK
    ends = (five_bits.LEAST, five_bits.MOST)

    def __init__(self, name: str) -> None:
        self._name = name

    def begin(self, w: Tensor, strengths: Tensor) -> None:
        """Nothing is the same for all blocks."""
        self._w = w
        blocks = w.shape[1] // self.group_size
        self._scale = torch.empty(len(w), blocks, dtype=torch.float16, device=w.device)

    def place(self, group: int, w: Tensor, strengths: Tensor) -> tuple[Tensor, Tensor]:
        """Its scale; values lie around 0."""
        scale = five_bits.search(w[:, None], strengths.sqrt().reshape(1, 1, -1)).reshape(-1)
        self._scale[:, group] = scale
        return scale, torch.zeros_like(scale)

    def weight(self, codes: Tensor) -> BlockWeight:
        """In the format. ModelError for scales that 16 bits cannot hold."""
        require_finite(self._name, self._w, self._scale)
        found = codes.sub(five_bits.LEAST).to(torch.uint8).reshape(-1, self.group_size)
        data = join_blocks("Q5_0", found, self._scale.reshape(-1, 1).view(torch.uint8))
        return BlockWeight(data.reshape(len(codes), -1), "Q5_0")
