"""Times of several processes in several rounds: what differs between methods, and how sure that is.

The model: log time of a process = its method + its round + what differs between any two processes. Rounds
cancel in comparisons (paired), and what is left over after methods and rounds is the noise, pooled over
all methods. Repetitions within a process only make its own median; they say nothing about another process.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy.typing import NDArray

TINY = 1e-9
LEAST_SHARED = 2  # rounds from which a pair has a noise of its own


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """The difference of two methods; `weight` times the variance of a process is its variance."""

    difference: float
    weight: float


class RoundModel:
    """Least squares over (method, round) -> value; cells may be missing or be there several times."""

    def __init__(self, methods: Sequence[str], rounds: Sequence[int], values: Sequence[float]) -> None:
        import numpy as np

        if not len(methods) == len(rounds) == len(values) or not values:
            raise ValueError(f"{len(methods)} methods, {len(rounds)} rounds, {len(values)} values")
        self._columns = {name: i for i, name in enumerate(dict.fromkeys(methods))}
        places = {number: len(self._columns) + i for i, number in enumerate(dict.fromkeys(rounds))}
        design = np.zeros((len(values), len(self._columns) + len(places)))
        for row, (method, number) in enumerate(zip(methods, rounds, strict=True)):
            design[row, self._columns[method]] = design[row, places[number]] = 1.0
        observed = np.asarray(values, dtype=np.float64)
        self._inverse = np.linalg.pinv(design.T @ design)
        self._estimates = self._inverse @ design.T @ observed
        self._rank = int(np.linalg.matrix_rank(design))
        self._residuals: NDArray[np.float64] = observed - design @ self._estimates
        self._span = self._inverse @ design.T @ design
        self._cells: dict[str, dict[int, list[float]]] = {}
        for method, number, value in zip(methods, rounds, values, strict=True):
            self._cells.setdefault(method, {}).setdefault(number, []).append(value)

    @property
    def degrees(self) -> int:
        """Degrees of freedom of the noise; 0: the run cannot know its own noise."""
        return len(self._residuals) - self._rank

    @property
    def noise(self) -> float | None:
        """Standard deviation of a process, in units of the values; None without a degree of freedom."""
        if self.degrees < 1:
            return None
        return sqrt(float(self._residuals @ self._residuals) / self.degrees)

    def contrast(self, one: str, other: str) -> Contrast | None:
        """`one` minus `other`; None where they never shared a round, not even by way of a third."""
        import numpy as np

        if one not in self._columns or other not in self._columns:
            return None
        vector = np.zeros(len(self._estimates))
        vector[self._columns[one]], vector[self._columns[other]] = 1.0, -1.0
        if one != other and float(np.abs(self._span @ vector - vector).max()) > TINY:
            return None
        weight = float(vector @ self._inverse @ vector)
        return Contrast(difference=float(vector @ self._estimates), weight=weight)

    def pair_noise(self, one: str, other: str) -> float | None:
        """The same from the rounds that both were in, for a pair noisier than the rest; None below two."""
        import numpy as np

        shared = [number for number in self._cells.get(one, {}) if number in self._cells.get(other, {})]
        if len(shared) < LEAST_SHARED:
            return None
        gaps = [np.mean(self._cells[one][n]) - np.mean(self._cells[other][n]) for n in shared]
        return float(np.std(gaps, ddof=1)) / sqrt(2)
