"""Everything an overview of many models shows, as a pure function of their rows."""

from collections.abc import Sequence
from dataclasses import dataclass

from quantbench.analysis.models.effects import MethodEffect, method_effects
from quantbench.analysis.models.figures import ModelRow
from quantbench.analysis.models.front import Front, front_over


@dataclass(frozen=True, slots=True, kw_only=True)
class Absent:
    """A model of the sweep that has nothing to show yet, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """One table over all models, a front over all, and what methods do over models."""

    rows: tuple[ModelRow, ...]
    front: Front
    effects: tuple[MethodEffect, ...]
    absent: tuple[Absent, ...]

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models that have rows."""
        return tuple(dict.fromkeys(row.name for row in self.rows))

    @property
    def tasks(self) -> tuple[str, ...]:
        """Tasks that any row has a score on."""
        return tuple(dict.fromkeys(task for row in self.rows for task in row.scores))


def overview_of(rows: Sequence[ModelRow], absent: Sequence[Absent] = ()) -> Overview:
    """The overview of these rows."""
    return Overview(
        rows=tuple(rows), front=front_over(rows), effects=method_effects(rows), absent=tuple(absent)
    )
