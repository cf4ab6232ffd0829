"""Speeds of one method in two runs: a two-sample test on the noise between the processes of both.

Passes of two runs are not paired, so what drifts between passes counts as noise here. All methods share a
pass, hence the noise of a point is pooled over methods, but with the degrees of freedom of one method only.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import log1p, sqrt
from statistics import mean, stdev

from quantbench.analysis.comparison.comparisons import ALPHA, Comparison, Verdict
from quantbench.analysis.comparison.processes import Process, of_point
from quantbench.analysis.figures.row import Row
from quantbench.analysis.figures.speeds import MedianEstimate, Speed
from quantbench.analysis.formatting import chance, factors
from quantbench.records import SpeedPoint
from quantbench.stats import Interval, Noise, difference_margin, difference_p, holm

DECODE, TTFT = "decode", "TTFT"


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedChange:
    """One time of one method, then and now; the processes' values are logarithms."""

    label: str
    figure: str  # DECODE or TTFT
    old: Speed
    new: Speed
    before: tuple[Process, ...]
    after: tuple[Process, ...]

    @property
    def estimates(self) -> tuple[MedianEstimate | None, MedianEstimate | None]:
        """As the two reports show them."""
        if self.figure == DECODE:
            return self.old.decode, self.new.decode
        return self.old.ttft_s, self.new.ttft_s

    @property
    def place(self) -> tuple[str, int, int]:
        """What methods must share to have their noise pooled."""
        return self.figure, self.new.batch_size, self.new.prompt_tokens

    @property
    def difference(self) -> float:
        """Of the mean logarithms, now minus then."""
        return mean(p.value for p in self.after) - mean(p.value for p in self.before)

    @property
    def weight(self) -> float:
        """The variance of `difference` over that of one process."""
        return 1 / len(self.before) + 1 / len(self.after)

    @property
    def degrees(self) -> int:
        return len(self.before) + len(self.after) - 2

    @property
    def deviation(self) -> float | None:
        """Standard deviation of one process within its run; None where each run has one."""
        parts = [p for p in (self.before, self.after) if len(p) > 1]
        if not parts:
            return None
        squares = sum((len(part) - 1) * stdev(p.value for p in part) ** 2 for part in parts)
        return sqrt(squares / self.degrees)


def speed_changes(both: Sequence[tuple[Row, Row]], tolerance: float) -> list[tuple[SpeedChange, Comparison]]:
    """Every time that both runs have, corrected together; alike is what surely differs by less."""
    changes = [change for old, new in both for change in _of_rows(old, new)]
    noises = [_noise(change, [c for c in changes if c.place == change.place]) for change in changes]
    chances = [difference_p(c.difference, c.weight, noise) for c, noise in zip(changes, noises, strict=True)]
    known = [p for p in chances if p is not None]
    adjusted, level = iter(holm(known)), ALPHA / max(1, len(known))
    compared = []
    for change, noise, p in zip(changes, noises, chances, strict=True):
        if p is None:
            why = "one repetition of one process each says nothing about noise"
            found = Comparison(verdict=Verdict.UNDECIDED, why=why)
        else:
            margin = difference_margin(change.weight, noise, level) or 0.0
            found = _compared(change, next(adjusted), margin, tolerance)
        compared.append((change, found))
    return compared


def _compared(change: SpeedChange, adjusted: float, margin: float, tolerance: float) -> Comparison:
    gap = change.difference
    interval = Interval(gap - margin, gap + margin)
    alike = max(-interval.low, interval.high) < log1p(tolerance)
    verdict = Verdict.NOT_SIGNIFICANT if alike else Verdict.UNDECIDED
    why = f"the time is {factors(interval)} times what it was"
    if adjusted < ALPHA:
        verdict = Verdict.SIGNIFICANT
        why += f", {chance(adjusted)} when corrected for all speeds"
    elif change.degrees < 1:
        why += ", as one process each hides how processes differ; a new run has two a round"
    elif not alike:
        why += ", more rounds in both runs narrow that"
    return Comparison(verdict=verdict, why=why, difference=gap, interval=interval, adjusted_p=adjusted)


def _noise(change: SpeedChange, same_place: Sequence[SpeedChange]) -> Noise:
    """Pooled over methods, and never less than the method's own."""
    known = [(c.degrees, c.deviation) for c in same_place if c.deviation is not None]
    total = sum(degrees for degrees, _ in known)
    pooled = (
        sqrt(sum(degrees * (deviation or 0.0) ** 2 for degrees, deviation in known) / total)
        if total
        else None
    )
    errors = [p.error for p in (*change.before, *change.after)]
    repeats = [error for error in errors if error is not None]
    own = change.deviation
    return Noise(
        deviation=None if own is None or pooled is None else max(own, pooled),
        degrees=change.degrees,
        repeat_error=max(repeats) if len(repeats) == len(errors) else None,
    )


def _of_rows(old: Row, new: Row) -> Iterator[SpeedChange]:
    """The points of the sweep that both have."""
    before = {_place(point): (point, speed) for point, speed in zip(old.points, old.sweep, strict=True)}
    for point, speed in zip(new.points, new.sweep, strict=True):
        if _place(point) not in before:
            continue
        earlier, old_speed = before[_place(point)]
        for figure in (DECODE, TTFT):
            one, other = (tuple(_times(new.label, p, figure)) for p in (earlier, point))
            if one and other:
                yield SpeedChange(
                    label=new.label, figure=figure, old=old_speed, new=speed, before=one, after=other
                )


def _place(point: SpeedPoint) -> tuple[int, int, int]:
    return point.batch_size, point.prompt_tokens, point.new_tokens


def _times(label: str, point: SpeedPoint, figure: str) -> Iterator[Process]:
    return of_point(label, point, point.decode_s if figure == DECODE else point.ttft_s)
