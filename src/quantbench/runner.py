"""Walks a Plan: skips what is recorded, executes the rest, stores each Record as it comes.

It is handed `execute`, so it knows neither processes nor models.
"""

from collections.abc import Callable
from typing import Protocol

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

    A trial that failed is in the store with its reason and is tried again by the next run. An
    interruption that carries a record (`.record`) has it stored before it is raised again.
    """
    stored, damaged = store.read_or_empty()
    known = {record.trial_id: record for record in stored if record.completed}
    pending = plan.pending(known)
    for trial in plan.trials:
        if trial.id in known:
            watcher.on_skip(trial)
    for number, trial in enumerate(pending, start=1):
        watcher.on_start(trial, number, len(pending))
        try:
            record = execute(trial)
        except KeyboardInterrupt as interruption:
            partial = getattr(interruption, "record", None)
            if isinstance(partial, Record):
                store.append(partial)
            raise
        store.append(record)
        known[trial.id] = record
        watcher.on_record(trial, record)
    return [known[trial.id] for trial in plan.trials], damaged
