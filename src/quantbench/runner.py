"""Walks a Plan: skips what is recorded, executes the rest, stores each Record as it comes.

It is handed `execute`, so it knows neither processes nor models. It keeps summaries, never records: a plan of
ten thousand trials takes no more memory than one of ten.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

from quantbench.evaluation.distance import has_predictions
from quantbench.plan import Plan, Trial
from quantbench.records import Record
from quantbench.store import DamagedLine, Store, Summary, whole


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
    """`walk_plan`, with the plan's records read from the store in its order."""
    known, damaged = walk_plan(plan, store, execute, watcher)
    return [store.record(known[trial.id]) for trial in plan.trials], damaged


def walk_plan(
    plan: Plan, store: Store, execute: Callable[[Trial], Record], watcher: Watcher
) -> tuple[dict[str, Summary], list[DamagedLine]]:
    """Run what is missing; summaries of this plan's records by trial id, and damaged lines of the store.

    A trial that failed is in the store with its reason and is tried again by the next run, and so is one
    whose distance is missing although its baseline has left predictions since, and one whose parts are lost.
    An interruption that carries a record (`.record`) has it stored before it is raised again.
    """
    known, damaged = known_of(plan, store)
    pending = pending_trials(plan, known, store)
    waiting = {trial.id for trial in pending}
    for trial in plan.trials:
        if trial.id not in waiting:
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
                store.append(with_earlier(partial, before, store))
            raise
        known[trial.id] = store.append(with_earlier(record, before, store))
        watcher.on_record(trial, record)
    return known, damaged


def known_of(plan: Plan, store: Store) -> tuple[dict[str, Summary], list[DamagedLine]]:
    """What is recorded of this plan and complete, by trial id; and the store's damaged lines."""
    stored, damaged = store.summaries_or_none()
    found = (stored.get(trial.id) for trial in plan.trials)
    known = {one.trial_id: one for one in found if one and one.completed and store.has_parts(one)}
    return known, damaged


def pending_trials(plan: Plan, known: Mapping[str, Summary], store: Store) -> tuple[Trial, ...]:
    """What has no completed record, and what must run again so that every comparison can be made."""
    wanted = {trial.id for trial in plan.trials if trial.id not in known or awaits_distance(trial, known)}
    references = {trial.reference for trial in plan.trials if trial.id in wanted and trial.reference}
    lost = {
        reference
        for reference in references
        if reference in known
        and known[reference].has_distance
        and not has_predictions(store.folder, reference)
    }
    return tuple(trial for trial in plan.trials if trial.id in wanted | lost)


def awaits_distance(trial: Trial, known: Mapping[str, Summary]) -> bool:
    """Whether a measured trial lacks the distance from a baseline that was scored or is still to run."""
    if trial.reference is None or known[trial.id].has_distance:
        return False
    baseline = known.get(trial.reference)
    return baseline is None or baseline.has_distance


def with_earlier(record: Record, earlier: Summary | None, store: Store) -> Record:
    """The record; where it failed and the trial had been measured before, those figures with the failure."""
    if record.failure is None or earlier is None:
        return record
    return whole(store.record(earlier)).model_copy(update={"failure": record.failure})
