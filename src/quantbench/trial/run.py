"""A trial in progress: its record so far, handed out after every stage, and what becomes of an exception."""

import os
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from quantbench.environment import describe_environment
from quantbench.errors import QuantbenchError
from quantbench.plan import Trial
from quantbench.progress import Progress
from quantbench.records import Failure, Phase, Record
from quantbench.version import __version__


@dataclass(slots=True, kw_only=True)
class Run:
    """A trial in progress: its record so far, and where news of it go."""

    trial: Trial
    name: str  # of its files
    folder: Path
    record: Record
    progress: Progress
    checkpoint: Callable[[Record], None]
    clock: Callable[[], float] = time.perf_counter
    cpu_clock: Callable[[], float] = lambda: sum(os.times()[:4])
    stage: str = "start"
    _since: tuple[float, float, float] = field(init=False)  # when the stage began, by both clocks and as time

    def __post_init__(self) -> None:
        self._since = self._now()

    def _now(self) -> tuple[float, float, float]:
        return self.clock(), self.cpu_clock(), time.time()

    def enter(self, stage: str) -> None:
        """Begin a stage; the seconds of the one before go into the record, out with the next section."""
        (before, cpu_before, began), now = self._since, self._now()
        phases = self.record.phases
        so_far = phases.get(self.stage, Phase(wall_s=0.0, cpu_s=0.0, began_unix_s=began))
        phase = so_far.plus(now[0] - before, max(0.0, now[1] - cpu_before))
        self.record = self.record.model_copy(update={"phases": {**phases, self.stage: phase}})
        self.stage, self._since = stage, now

    def keep(self, **sections: Any) -> None:
        """Add sections to the record and hand it out."""
        self.record = self.record.model_copy(update=sections)
        self.checkpoint(self.record)

    def warn(self, sentence: str) -> None:
        """Add a sentence to the record's warnings."""
        self.keep(warnings=(*self.record.warnings, sentence))


def new_record(trial: Trial, command: str | None = None) -> Record:
    """An empty record of a trial, with the environment of this process."""
    return Record(
        trial_id=trial.id,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        quantbench_version=__version__,
        trial=trial,
        environment=describe_environment(
            device=trial.load.device, command=command, threads=trial.load.threads
        ),
    )


def describe_failure(stage: str, error: BaseException) -> Failure:
    """An exception as a record keeps it; a user's error needs no traceback."""
    known = isinstance(error, QuantbenchError)
    return Failure(
        stage=stage,
        kind=type(error).__name__,
        message=str(error) or type(error).__name__,
        user_error=known,
        traceback=None if known else "".join(traceback.format_exception(error)),
    )
