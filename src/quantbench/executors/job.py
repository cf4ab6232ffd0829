"""What every way of running trials knows of a run."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from quantbench.executors.interruption import Interruption
from quantbench.executors.processes import ForkServer
from quantbench.progress import Progress


class Display(Protocol):
    """Shows how far trials are."""

    def progress(self, stage: str, done: int, total: int) -> None:
        """Of the one trial that runs."""

    def lane(self, name: str) -> Progress:
        """The progress of the trials on one of several devices."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A run: its results folder, what was typed, names of trials by id, and who shows and ends it."""

    folder: Path
    command: str
    names: Mapping[str, str]
    models: frozenset[str]
    display: Display
    interruption: Interruption
    server: ForkServer
