"""Which matrix each run of tokens is multiplied with, where several lie one after another in one."""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from quantbench.engine.expert_groups import split
from quantbench.engine.parameters import Matrix


@dataclass(frozen=True, slots=True)
class Groups:
    """int32 [runs] each: a run's first token, its tokens (0 is none; at most a tile's), its matrix."""

    first: Tensor
    count: Tensor
    chosen: Tensor
    matrices: int

    def runs(self, matrix: Matrix) -> Iterator[tuple[Matrix, slice]]:
        """Each run's own matrix, of the whole one, and tokens."""
        parts = split(matrix, self.matrices)
        for first, count, chosen in zip(
            self.first.tolist(), self.count.tolist(), self.chosen.tolist(), strict=True
        ):
            if count:
                yield parts[chosen], slice(first, first + count)
