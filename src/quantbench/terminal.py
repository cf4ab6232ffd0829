"""What a run shows: a line a trial, and a bar for its current stage, or a line a stage without a terminal.

What runs is noted in the results folder, too, for `quantbench status`.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from quantbench.plan import Trial
from quantbench.progress import Progress as Told
from quantbench.records import Record
from quantbench.store import note_ended, note_running
from quantbench.units import show_seconds


class RunDisplay:
    """A context manager; its methods are the runner's watcher and the executor's progress."""

    def __init__(
        self, console: Console, names: Mapping[str, str] | None = None, folder: Path | None = None
    ) -> None:
        """`names` of trials by id, where they are not their labels; `folder` is the results folder."""
        self._console = console
        self._names = names or {}
        self._folder = folder
        self._bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._bar = self._bars.add_task("", visible=False, total=None)
        self._label = ""
        self._stage = ""
        self._started = 0.0

    def __enter__(self) -> "RunDisplay":
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def on_skip(self, trial: Trial) -> None:
        self._console.print(f"{self._name(trial)}: already measured", highlight=False)

    def on_start(self, trial: Trial, number: int, count: int) -> None:
        if self._folder:
            note_running(self._folder, trial.id)
        self._label = f"{self._name(trial)} ({number}/{count})"
        self._stage = ""
        self._started = time.perf_counter()
        self.progress("starting", 0, 0)

    def on_record(self, trial: Trial, record: Record) -> None:
        name = self._name(trial)
        if self._folder:
            note_ended(self._folder, trial.id)
        waited = time.perf_counter() - self._started
        took = show_seconds(record.took_s if record.took_s is not None else waited)
        if record.failure is None:
            self._console.print(f"{name}: measured in {took}", highlight=False)
        else:
            reason = f"{name}: failed while in '{record.failure.stage}': {record.failure.message}"
            self._console.print(reason, style="red", highlight=False, markup=False)
        for warning in record.warnings:
            self._console.print(f"  note: {warning}", highlight=False, markup=False)

    def lane(self, name: str) -> Told:
        """The progress of trials on one of several devices: a line a stage, without a bar."""
        stage_before = ""

        def progress(stage: str, done: int, total: int) -> None:
            nonlocal stage_before
            if stage != stage_before:
                stage_before = stage
                self._console.print(f"{name}: {stage}", highlight=False, markup=False, soft_wrap=True)

        return progress

    def _name(self, trial: Trial) -> str:
        return self._names.get(trial.id, trial.label)

    def progress(self, stage: str, done: int, total: int) -> None:
        """A Progress: moves the bar of the current stage, starts it anew for another stage."""
        if stage != self._stage:
            self._bars.reset(self._bar)
            self._stage = stage
            if not self._console.is_terminal:
                self._console.print(f"{self._label}: {stage}", highlight=False, markup=False, soft_wrap=True)
        self._bars.update(
            self._bar,
            description=f"{self._label} {stage}",
            completed=done,
            total=total or None,
            visible=True,
        )
