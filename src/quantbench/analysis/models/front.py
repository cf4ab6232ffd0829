"""The front over all models and methods: what no other row beats in size, speed and pass@1 at once.

A row is surely behind only where another is better by more than both intervals allow and nowhere worse by
its figures. Speeds count only where all are of one machine and one point, scores only of tasks that every
model answered.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from quantbench.analysis.findings.pareto import FrontPlace, Standing
from quantbench.analysis.models.figures import Figure, ModelRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """One figure of a row, larger is better."""

    name: str
    read: Callable[[ModelRow], Figure | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """The standings of the rows that have every figure, and the figures that could not count."""

    axes: tuple[str, ...]
    standings: tuple[Standing, ...]
    left_out: tuple[str, ...]  # why a figure does not count


def front_over(rows: Sequence[ModelRow]) -> Front:
    """The standing of every row; one that lacks a figure is not placed."""
    axes, left_out = axes_of(rows)
    missing = {row.label: tuple(axis.name for axis in axes if axis.read(row) is None) for row in rows}
    placed = [row for row in rows if not missing[row.label]]
    standings = [stand(row, placed, axes) for row in placed]
    standings += [
        Standing(label=row.label, place=FrontPlace.UNPLACED, missing=missing[row.label])
        for row in rows
        if missing[row.label]
    ]
    return Front(axes=tuple(axis.name for axis in axes), standings=tuple(standings), left_out=left_out)


def axes_of(rows: Sequence[ModelRow]) -> tuple[tuple[Axis, ...], tuple[str, ...]]:
    """The figures that rows of several models may be compared by, and why others may not."""
    axes = [Axis(name="model size", read=_smallness)]
    left_out = []
    machines = {row.machine for row in rows if row.speed}
    points = {row.point for row in rows if row.speed}
    if len(machines) == 1 and len(points) == 1:
        axes.append(Axis(name="inference speed", read=lambda row: row.speed))
    elif machines:
        what = "machines" if len(machines) > 1 else "batch sizes or prompt lengths"
        left_out.append(f"Speeds do not count for the front: they were measured at several {what}.")
    tasks = dict.fromkeys(task for row in rows for task in row.scores)
    for task in tasks:
        models = {row.model for row in rows if task in row.scores}
        if models == {row.model for row in rows}:
            axes.append(Axis(name=f"pass@1 of {task}", read=lambda row, task=task: row.scores.get(task)))  # type: ignore[misc]
        else:
            left_out.append(f"{task} does not count for the front: not every model answered it.")
    return tuple(axes), tuple(left_out)


def _smallness(row: ModelRow) -> Figure | None:
    return None if row.weight_bytes is None else Figure(value=-float(row.weight_bytes), interval=None)


def stand(row: ModelRow, rows: Sequence[ModelRow], axes: Sequence[Axis]) -> Standing:
    """One row among the others."""
    ahead = [other for other in rows if other is not row and beats(other, row, axes)]
    surely = tuple(other.label for other in ahead if any(apart(axis, other, row) for axis in axes))
    if surely:
        return Standing(label=row.label, place=FrontPlace.BEHIND, beaten_by=surely)
    place = FrontPlace.NEAR if ahead else FrontPlace.FRONT
    return Standing(label=row.label, place=place, beaten_by=tuple(other.label for other in ahead))


def beats(one: ModelRow, other: ModelRow, axes: Sequence[Axis]) -> bool:
    """Whether `one` is at least as good on every figure and better on one, noise aside."""
    pairs = [(a.value, b.value) for axis in axes if (a := axis.read(one)) and (b := axis.read(other))]
    return all(a >= b for a, b in pairs) and any(a > b for a, b in pairs)


def apart(axis: Axis, one: ModelRow, other: ModelRow) -> bool:
    """Whether `one` is better by more than both intervals allow; sizes have none and are exact."""
    a, b = axis.read(one), axis.read(other)
    if a is None or b is None:
        return False
    low = a.interval.low if a.interval else a.value
    high = b.interval.high if b.interval else b.value
    return low > high
