"""The speed records of a run as a table of processes: method, round, and the logarithm of its median time.

A process is what varies: its repetitions make its median, and only other processes show how far medians of
the same work lie apart. Every pass over the methods is a round of the model, forth and back.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import log, sqrt
from statistics import median, stdev

from quantbench.analysis.figures.rounds import same_point
from quantbench.analysis.figures.row import Row
from quantbench.records import SpeedPoint
from quantbench.stats import Noise, RoundModel

MEDIAN_LOSS = 1.2533  # standard error of a median over that of a mean, normal values


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One process's times of one point."""

    label: str
    number: int  # of the pass over the methods
    value: float  # logarithm of the median, in seconds
    error: float | None  # standard error of `value`; None after a single repetition


@dataclass(frozen=True, slots=True)
class ProcessTimes:
    """All processes that timed the same thing, and what they say together."""

    processes: tuple[Process, ...]

    @property
    def labels(self) -> list[str]:
        return list(dict.fromkeys(process.label for process in self.processes))

    def passes(self, one: str, other: str) -> int:
        """The passes in which both methods were measured."""
        numbers = [{p.number for p in self.processes if p.label == label} for label in (one, other)]
        return len(numbers[0] & numbers[1])

    def model(self) -> RoundModel:
        """Methods and passes fitted to the logarithms."""
        rows = [(p.label, p.number, p.value) for p in self.processes]
        return RoundModel([r[0] for r in rows], [r[1] for r in rows], [r[2] for r in rows])

    def noise(self, model: RoundModel, one: str, other: str) -> Noise:
        """What varies between processes, for a comparison of these two methods."""
        shown = [d for d in (model.noise, model.pair_noise(one, other)) if d is not None]
        errors = [process.error for process in self.processes if process.label in (one, other)]
        known = [error for error in errors if error is not None]
        return Noise(
            deviation=max(shown) if shown and model.degrees else None,
            degrees=model.degrees,
            repeat_error=max(known) if len(known) == len(errors) and known else None,
        )


def decode_times(rows: Sequence[Row], reruns: Sequence[Row], point: SpeedPoint) -> ProcessTimes:
    """Seconds of the whole decode at a point of the sweep."""
    found = _points(rows, reruns, point)
    return ProcessTimes(tuple(process for label, p in found for process in of_point(label, p, p.decode_s)))


def response_times(rows: Sequence[Row], reruns: Sequence[Row], point: SpeedPoint) -> ProcessTimes:
    """Seconds from the prompt to the last token at a point of the sweep."""
    found = [(label, p) for label, p in _points(rows, reruns, point) if len(p.ttft_s) == len(p.decode_s)]
    sums = [(label, p, [a + b for a, b in zip(p.ttft_s, p.decode_s, strict=True)]) for label, p in found]
    return ProcessTimes(tuple(process for label, p, times in sums for process in of_point(label, p, times)))


def _points(rows: Sequence[Row], reruns: Sequence[Row], point: SpeedPoint) -> list[tuple[str, SpeedPoint]]:
    """That point of every row; reruns of the baseline are further processes of its first pass."""
    return [
        (row.label, found) for row in (*rows, *reruns) if (found := same_point(point, row.points)) is not None
    ]


def of_point(label: str, point: SpeedPoint, times: Sequence[float]) -> Iterator[Process]:
    """The processes behind one method's times at a point; times that are not positive do not count."""
    numbers = point.round_of if len(point.round_of) == len(times) else (0,) * len(times)
    grouped: dict[int, list[float]] = {}
    for number, seconds in zip(numbers, times, strict=True):
        if seconds > 0:
            grouped.setdefault(number, []).append(log(seconds))
    for number, logs in grouped.items():
        error = MEDIAN_LOSS * stdev(logs) / sqrt(len(logs)) if len(logs) > 1 else None
        yield Process(label=label, number=number, value=median(logs), error=error)
