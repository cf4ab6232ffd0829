"""How far a run is: what of its plan is done, runs, failed or is left, and how long that may take.

Read from the folder alone, while a run writes to it or after it has ended. The time left is an estimate from
what trials took, and says from how many.
"""

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from quantbench.errors import StoreError
from quantbench.selection import PLAN_FILE, kind_of, read_plan
from quantbench.store import DamagedLine, Running, Store, Summary, read_running


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """A trial that ended with a failure; the same command tries it again."""

    trial: str
    stage: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningTrial:
    """A trial that runs now."""

    trial: str
    for_s: float
    where: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """How long the rest may take if trials take what those that ended took."""

    left_s: float
    from_trials: int  # that were measured
    side_by_side: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The state of a results folder's last plan; names are labels of trials."""

    planned: int
    done: tuple[str, ...]
    running: tuple[RunningTrial, ...]
    failed: tuple[Failed, ...]
    left: tuple[str, ...]  # neither done, failed nor running
    active: bool  # a run holds the folder
    estimate: Estimate | None  # None where nothing is left, or nothing was measured
    damaged: tuple[DamagedLine, ...]


def status_of(folder: Path, now: float | None = None) -> Status:
    """The state of a folder's last plan; StoreError for a folder that holds none.

    `now` is in seconds since 1970.
    """
    now = time.time() if now is None else now
    store = Store(folder)
    if not (folder / PLAN_FILE).exists():
        raise StoreError(f"no plan in '{folder}' ({PLAN_FILE} is missing); run `quantbench run` first")
    plan = read_plan(folder / PLAN_FILE)
    stored, damaged = store.summaries_or_none()
    active = store.is_held()
    notes = read_running(folder) if active else {}
    labels: Mapping[str, str] = plan["labels"]
    ended = {trial: stored[trial] for trial in labels if trial in stored and trial not in notes}
    running = {trial: notes[trial] for trial in labels if trial in notes}
    left = [trial for trial in labels if trial not in ended and trial not in running]
    failed = [(labels[trial], summary.failure) for trial, summary in ended.items() if summary.failure]
    return Status(
        planned=len(labels),
        done=tuple(labels[trial] for trial, summary in ended.items() if summary.completed),
        running=tuple(
            RunningTrial(trial=labels[trial], for_s=max(0.0, now - note.since), where=note.where)
            for trial, note in running.items()
        ),
        failed=tuple(Failed(trial=label, stage=stage, reason=reason) for label, (stage, reason) in failed),
        left=tuple(labels[trial] for trial in left),
        active=active,
        estimate=estimate_of(plan["kinds"], list(stored.values()), left, running, now),
        damaged=tuple(damaged),
    )


def estimate_of(
    kinds: Mapping[str, str],
    stored: Collection[Summary],
    left: Collection[str],
    running: Mapping[str, Running],
    now: float,
) -> Estimate | None:
    """Each trial takes the mean of its own kind, else of its role, else of all that were measured."""
    if not left and not running:
        return None
    took: dict[str, list[float]] = {}
    measured = [one for one in stored if one.completed and one.took_s is not None]
    for one in measured:
        for kind in (kind_of(one.model, one.method, one.role), one.role, ""):
            took.setdefault(kind, []).append(one.took_s or 0.0)
    if not took:
        return None
    expected = {kind: mean(values) for kind, values in took.items()}
    lanes = max(1, len(running))
    rest = [expected_of(kinds.get(trial, ""), expected) for trial in left]
    rest += [
        max(0.0, expected_of(kinds.get(trial, ""), expected) - max(0.0, now - note.since))
        for trial, note in running.items()
    ]
    return Estimate(left_s=sum(rest) / lanes, from_trials=len(measured), side_by_side=lanes)


def expected_of(kind: str, expected: Mapping[str, float]) -> float:
    """Seconds that a trial of this kind may take."""
    return next(expected[known] for known in (kind, kind.rpartition(" ")[2], "") if known in expected)
