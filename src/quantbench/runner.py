"""Walks a Plan: skips what is recorded, executes the rest, stores each Record as it comes.

It is handed `execute`, so it knows neither processes nor models.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

from quantbench.evaluation.distance import has_predictions
from quantbench.plan import Plan, Trial
from quantbench.records import Record
from quantbench.store import DamagedLine, Store


class Watcher(Protocol):
    """Told what the runner does."""

    def on_skip(self, trial: Trial) -> None:
        """A trial is recorded already."""

    def on_start(self, trial: Trial, number: int, count: int) -> None:
        """Trial `number` of the `count` that are to be executed begins."""

    def on_record(self, trial: Trial, record: Record) -> None:
        """A trial has ended and is stored."""


def run_plan(
    plan: Plan, store: Store, execute: Callable[[Trial], Record], watcher: Watcher
) -> tuple[list[Record], list[DamagedLine]]:
    """Run what is missing; the records of this plan in its order, and damaged lines of the store.

    A trial that failed is in the store with its reason and is tried again by the next run, and so is one
    whose distance is missing although its baseline has left predictions since. An interruption that carries a
    record (`.record`) has it stored before it is raised again.
    """
    stored, damaged = store.read_or_empty()
    known = {record.trial_id: record for record in stored if record.completed}
    pending = pending_trials(plan, known, store)
    for trial in plan.trials:
        if trial not in pending:
            watcher.on_skip(trial)
    for number, trial in enumerate(pending, start=1):
        before = known.get(trial.id)
        if before and trial.reference and not awaits_distance(trial, known):
            watcher.on_skip(trial)  # its baseline failed again, so nothing can be added to it
            continue
        watcher.on_start(trial, number, len(pending))
        try:
            record = execute(trial)
        except KeyboardInterrupt as interruption:
            partial = getattr(interruption, "record", None)
            if isinstance(partial, Record):
                store.append(with_earlier(partial, before))
            raise
        known[trial.id] = with_earlier(record, before)
        store.append(known[trial.id])
        watcher.on_record(trial, record)
    return [known[trial.id] for trial in plan.trials], damaged


def pending_trials(plan: Plan, known: Mapping[str, Record], store: Store) -> tuple[Trial, ...]:
    """What has no completed record, and what must run again so that every comparison can be made."""
    wanted = {trial.id for trial in plan.trials if trial.id not in known or awaits_distance(trial, known)}
    references = {trial.reference for trial in plan.trials if trial.id in wanted and trial.reference}
    lost = {
        reference
        for reference in references
        if reference in known and known[reference].distance and not has_predictions(store.folder, reference)
    }
    return tuple(trial for trial in plan.trials if trial.id in wanted | lost)


def awaits_distance(trial: Trial, known: Mapping[str, Record]) -> bool:
    """Whether a measured trial lacks the distance from a baseline that was scored or is still to run."""
    if trial.reference is None or known[trial.id].distance is not None:
        return False
    baseline = known.get(trial.reference)
    return baseline is None or baseline.distance is not None


def with_earlier(record: Record, earlier: Record | None) -> Record:
    """The record; where it failed and the trial had been measured before, those figures with the failure."""
    if record.failure is None or earlier is None:
        return record
    return earlier.model_copy(update={"failure": record.failure})
