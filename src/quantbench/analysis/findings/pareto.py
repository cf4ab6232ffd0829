"""The Pareto front: methods that no other method beats on every figure at once.

Stated twice: on the figures as they are, and beyond noise. A method that only noise keeps off the front
is not written off.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from quantbench.analysis.comparison.comparisons import Verdict
from quantbench.analysis.comparison.metrics import Metric, metrics_of
from quantbench.analysis.comparison.rows import Row, Rows


class FrontPlace(StrEnum):
    """Shown as it is."""

    FRONT = "on the front"
    NEAR = "behind on the figures, no difference shown"
    BEHIND = "behind"
    UNPLACED = "not placed, not measured"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One method; `beaten_by` are those that beat it (beyond noise, where the place is BEHIND)."""

    label: str
    place: FrontPlace
    beaten_by: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()  # names of the figures without which it cannot be placed


def pareto_front(results: Rows, metrics: Sequence[Metric] | None = None) -> tuple[Standing, ...]:
    """The standing of every row over these metrics (by default all that were measured).

    A row that lacks one is not placed and says what it lacks; one without any figure is left out.
    """
    used = tuple(metrics) if metrics is not None else metrics_of(results)
    missing = {row.label: tuple(m.name for m in used if m.value(row) is None) for row in results.rows}
    rows = [row for row in results.rows if used and not missing[row.label]]
    placed = [_stand(row, rows, used, results) for row in rows]
    return (
        *placed,
        *(
            Standing(label=row.label, place=FrontPlace.UNPLACED, missing=missing[row.label])
            for row in results.rows
            if missing[row.label] and row.measured
        ),
    )


def _stand(row: Row, rows: Sequence[Row], metrics: Sequence[Metric], results: Rows) -> Standing:
    others = [other for other in rows if other is not row]
    surely = tuple(other.label for other in others if beats_surely(other, row, metrics, results))
    if surely:
        return Standing(label=row.label, place=FrontPlace.BEHIND, beaten_by=surely)
    figures = tuple(other.label for other in others if beats(other, row, metrics))
    return Standing(
        label=row.label, place=FrontPlace.NEAR if figures else FrontPlace.FRONT, beaten_by=figures
    )


def beats(one: Row, other: Row, metrics: Sequence[Metric]) -> bool:
    """Whether `one` is at least as good on every figure and better on one, noise aside."""
    pairs = [(metric, metric.value(one), metric.value(other)) for metric in metrics]
    known = [(metric, a, b) for metric, a, b in pairs if a is not None and b is not None]
    worse = any(metric.better(b, a) for metric, a, b in known)
    return not worse and any(metric.better(a, b) for metric, a, b in known)


def beats_surely(one: Row, other: Row, metrics: Sequence[Metric], results: Rows) -> bool:
    """Whether `one` is better beyond noise on one figure and nowhere worse beyond noise."""
    if not beats(one, other, metrics):
        return False
    verdicts = [results.compare(metric.key, one, other).verdict for metric in metrics]
    return Verdict.SIGNIFICANT in verdicts
