"""One comparison of two methods on one metric: test, correction, verdict. The only place that says 'differs'.

A report makes many comparisons. Those of one kind (all speeds, all scores) are corrected together, over all
pairs of methods, so that at most 5 % of reports claim any difference of that kind that is not there. What is
not significant is not thereby equal, and what could not be tested is undecided.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from quantbench.stats import Interval, shaffer

ALPHA = 0.05  # chance that a report claims any difference of a kind that is not there


class Verdict(StrEnum):
    """What the figures allow to be said about two methods."""

    SIGNIFICANT = "significant"  # they differ, corrected for all comparisons
    NOT_SIGNIFICANT = "not significant"  # tested; no difference is shown
    UNDECIDED = "undecided"  # a figure is missing, or too little was measured to tell


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """`one` minus `other`; sizes and memory have a verdict without a test."""

    verdict: Verdict
    why: str  # a clause without a full stop, the same from both sides
    difference: float | None = None  # of the logarithm for speeds and times, of the share for scores
    interval: Interval | None = None  # of the difference
    p: float | None = None
    adjusted_p: float | None = None
    rounds_needed: int | None = None  # in all, to decide a difference as large as the one found

    def reversed(self) -> "Comparison":
        """The same, seen from the other side."""
        interval = self.interval and Interval(-self.interval.high, -self.interval.low)
        return replace(
            self, difference=None if self.difference is None else -self.difference, interval=interval
        )


@dataclass(frozen=True, slots=True, order=True)
class Pair:
    """Two labels on one metric."""

    metric: str
    one: str
    other: str

    def reversed(self) -> "Pair":
        return Pair(self.metric, self.other, self.one)


@dataclass(frozen=True, slots=True)
class Family:
    """Comparisons that are corrected together: the p-value of each by itself."""

    p_values: Mapping[Pair, float]

    @property
    def level(self) -> float:
        """What the smallest p-value must stay below; the smallest detectable difference goes with it."""
        return ALPHA / max(1, len(self.p_values))

    def adjusted(self) -> dict[Pair, float]:
        """Shaffer's correction of Holm's over all pairs of the methods of each metric."""
        methods: dict[str, set[str]] = {}
        for pair in self.p_values:
            methods.setdefault(pair.metric, set()).update((pair.one, pair.other))
        values = shaffer(list(self.p_values.values()), [len(names) for names in methods.values()])
        return dict(zip(self.p_values, values, strict=True))


@dataclass(frozen=True, slots=True)
class Comparisons:
    """All comparisons of a report; `levels` is the significance level in force for each metric."""

    found: Mapping[Pair, Comparison] = field(default_factory=dict)
    levels: Mapping[str, float] = field(default_factory=dict)

    def get(self, metric: str, one: str, other: str) -> Comparison:
        """The comparison of two methods; undecided where there is none."""
        pair = Pair(metric, one, other)
        if pair in self.found:
            return self.found[pair]
        if pair.reversed() in self.found:
            return self.found[pair.reversed()].reversed()
        return Comparison(verdict=Verdict.UNDECIDED, why="a figure is missing")

    def level(self, metric: str) -> float:
        """The level that a single p-value on this metric is held against, correction included."""
        return self.levels.get(metric, ALPHA)


def join(parts: Iterable[Comparisons]) -> Comparisons:
    """Families put together; their corrections stay their own."""
    found: dict[Pair, Comparison] = {}
    levels: dict[str, float] = {}
    for part in parts:
        found |= part.found
        levels |= part.levels
    return Comparisons(found, levels)


def pairs_of(labels: Sequence[str], metric: str) -> list[Pair]:
    """Every pair of labels once."""
    return [Pair(metric, one, other) for i, one in enumerate(labels) for other in labels[i + 1 :]]
