"""What an interval is; the methods that make one stand in the files beside it."""

from dataclasses import dataclass
from statistics import NormalDist


@dataclass(frozen=True, slots=True)
class Interval:
    """A closed range in the unit of what it estimates; `low` may equal `high`."""

    low: float
    high: float

    @property
    def width(self) -> float:
        return self.high - self.low

    def contains(self, value: float) -> bool:
        return self.low <= value <= self.high

    def scaled(self, factor: float) -> "Interval":
        """Both ends times a positive factor: another unit."""
        return Interval(self.low * factor, self.high * factor)


def normal_quantile(confidence: float) -> float:
    """The z of a two-sided interval: 1.96 for 0.95. ValueError outside (0, 1)."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, not {confidence}")
    return NormalDist().inv_cdf((1 + confidence) / 2)
