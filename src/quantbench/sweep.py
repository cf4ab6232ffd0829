"""A results folder of many models: each one's own results, and the report over all of them.

Models are read one after another, and only the lines of the overview are kept: a thousand models are reported
in the memory that the largest of them needs.
"""

from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantbench.errors import QuantbenchError, StoreError
from quantbench.records import Failure
from quantbench.results import Results
from quantbench.selection import PLAN_FILE, load_selection, model_folder, read_plan

if TYPE_CHECKING:
    from quantbench.analysis import Overview

SILENT: Callable[[str], None] = lambda sentence: None  # noqa: E731 (a default, never assigned again)


def is_sweep(folder: Path) -> bool:
    """Whether a folder's last plan was a sweep."""
    path = folder / PLAN_FILE
    return path.is_file() and bool(read_plan(path)["groups"])


@dataclass(kw_only=True, repr=False, eq=False)
class Sweep:
    """The models of a folder's last plan, and what follows from all of them."""

    folder: Path
    names: tuple[str, ...]  # of the models' folders
    written: tuple[str, ...] = ()
    _tell: Callable[[str], None] = field(default=SILENT)

    @classmethod
    def load(cls, folder: Path, tell: Callable[[str], None] = SILENT) -> "Sweep":
        """The sweep of a folder; StoreError for a folder without a readable plan."""
        groups = read_plan(folder / PLAN_FILE)["groups"]
        return cls(folder=folder, names=tuple(group["name"] for group in groups), _tell=tell)

    def __repr__(self) -> str:
        return f"<Sweep of '{self.folder}': {', '.join(self.names)}>"

    def results(self, name: str) -> Results:
        """One model's own results; StoreError where nothing of it was recorded."""
        folder = model_folder(self.folder, name)
        selected, damaged = load_selection(folder)
        for line in damaged:
            self._tell(f"records.jsonl line {line.number} is damaged and was skipped: {line.reason}")
        return Results.of(selected, folder, tell=self._tell)

    @cached_property
    def overview(self) -> "Overview":
        """One table, a front and methods' effects over all models."""
        return self._walk(lambda results: None)

    def write(self, formats: Collection[str] = ("md", "html", "json", "csv")) -> tuple[str, ...]:
        """Write each model's own report, and the one over all; the names of the latter's files.

        QuantbenchError where no model has anything to show.
        """
        from quantbench.report.overview import write_overview

        self.overview = self._walk(lambda results: results.write(formats))
        if not self.overview.rows:
            reason = next((absent.reason for absent in self.overview.absent), "nothing was measured")
            raise QuantbenchError(f"no model of the sweep was measured; the first because of: {reason}")
        self.written = write_overview(self.overview, folder=self.folder, formats=formats)
        return self.written

    def describe(self) -> dict[str, Any]:
        """All figures and statements over models as plain values, as results.json has them."""
        from quantbench.report.overview import document

        return document(self.overview)

    @property
    def report(self) -> Path:
        """The file of the report to read first; StoreError before `write`."""
        if not self.written:
            raise StoreError("no report was written yet; call write() first")
        return self.folder / self.written[0]

    def each(self) -> Iterator[Results]:
        """Each model's own results, of those that have a record."""
        for name in self.names:
            with suppress(QuantbenchError):
                yield self.results(name)

    def failures(self) -> Iterator[Failure]:
        """Every failure of a recorded trial."""
        return (record.failure for own in self.each() for record in own.records if record.failure)

    def _walk(self, act: Callable[[Results], object]) -> "Overview":
        from quantbench.analysis import Absent, ModelRow, overview_of, rows_of_model

        rows: list[ModelRow] = []
        absent: list[Absent] = []
        for name in self.names:
            try:
                results = self.results(name)
                act(results)
                rows += rows_of_model(results.analysis, results.records[0].trial.model, name)
            except QuantbenchError as error:
                absent.append(Absent(name=name, reason=str(error)))
        return overview_of(rows, absent)
