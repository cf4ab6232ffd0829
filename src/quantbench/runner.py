"""Walks a Plan: skips what is recorded, executes the rest, stores each Record as it comes.

It is handed `execute`, so it knows neither processes nor models. It keeps summaries, never records: a plan of
ten thousand trials takes no more memory than one of ten.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
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


class Pool(Protocol):
    """Where trials run, one or several at a time."""

    def free(self, trial: Trial) -> bool:
        """Whether this trial can be started now."""

    def full(self) -> bool:
        """Whether no trial at all can be started now."""

    def start(self, trial: Trial) -> None:
        """Begin a trial."""

    def wait(self) -> tuple[Trial, Record]:
        """The next trial to end, and its record; KeyboardInterrupt, with `.records`, when asked to end."""


class OneByOne:
    """A Pool that runs a trial by `execute` when it is waited for."""

    def __init__(self, execute: Callable[[Trial], Record]) -> None:
        self._execute = execute
        self._trial: Trial | None = None

    def free(self, trial: Trial) -> bool:
        """While none is started."""
        return self._trial is None

    def full(self) -> bool:
        """Once one is started."""
        return self._trial is not None

    def start(self, trial: Trial) -> None:
        """Keep it for `wait`."""
        self._trial = trial

    def wait(self) -> tuple[Trial, Record]:
        """Run it; an interruption's own `.record` is handed on."""
        trial, self._trial = self._trial, None
        assert trial is not None
        return trial, self._execute(trial)


def run_plan(
    plan: Plan, store: Store, execute: Callable[[Trial], Record], watcher: Watcher
) -> tuple[list[Record], list[DamagedLine]]:
    """`walk_plan` one by one, with the plan's records read from the store in its order."""
    known, damaged = walk_plan(plan, store, OneByOne(execute), watcher)
    return [store.record(known[trial.id]) for trial in plan.trials], damaged


def walk_plan(
    plan: Plan, store: Store, pool: Pool, watcher: Watcher
) -> tuple[dict[str, Summary], list[DamagedLine]]:
    """Run what is missing; summaries of this plan's records by trial id, and damaged lines of the store.

    A trial starts after the baseline that it is compared with has ended, else in the plan's order. One that
    failed is in the store with its reason and is tried again by the next run, and so is one whose distance is
    missing although its baseline has left predictions since, and one whose parts are lost. An interruption
    that carries records has them stored before it is raised again.
    """
    known, damaged = known_of(plan, store)
    pending = pending_trials(plan, known, store)
    waiting = set(map(id, pending))
    for trial in plan.trials:
        if id(trial) not in waiting:
            watcher.on_skip(trial)
    walk = Walk(store=store, pool=pool, watcher=watcher, known=known, pending=list(pending))
    while walk.pending or walk.running:
        walk.start_ready()
        if walk.running:
            walk.take_next()
    return known, damaged


@dataclass(slots=True, kw_only=True)
class Walk:
    """What is still to run, what runs, and what is known so far."""

    store: Store
    pool: Pool
    watcher: Watcher
    known: dict[str, Summary]
    pending: list[Trial]
    running: set[str] = field(default_factory=set)
    unfinished: set[str] = field(init=False)  # pending or running
    started: int = 0
    count: int = field(init=False)

    def __post_init__(self) -> None:
        self.count = len(self.pending)
        self.unfinished = {trial.id for trial in self.pending}

    def start_ready(self) -> None:
        """Start, in order, every trial whose baseline has ended and that the pool has room for."""
        rest: list[Trial] = []
        for place, trial in enumerate(self.pending):
            if self.pool.full():
                rest += self.pending[place:]
                break
            if trial.reference in self.unfinished or not self.pool.free(trial):
                rest.append(trial)
            elif not self._skipped(trial):
                self.store.check_there()
                self.started += 1
                self.watcher.on_start(trial, self.started, self.count)
                self.pool.start(trial)
                self.running.add(trial.id)
            else:
                self.unfinished.discard(trial.id)
        self.pending = rest

    def _skipped(self, trial: Trial) -> bool:
        """Whether nothing can be added to what is known of it, as its baseline failed again."""
        own = self.known.get(trial.id)
        if own and trial.reference and not awaits_distance(own, trial, self.known):
            self.watcher.on_skip(trial)
            return True
        return False

    def take_next(self) -> None:
        """Wait for a trial to end and store its record."""
        try:
            trial, record = self.pool.wait()
        except KeyboardInterrupt as interruption:
            partial = getattr(interruption, "records", None) or (getattr(interruption, "record", None),)
            for one in partial:
                if isinstance(one, Record):
                    self._store(one)
            raise
        self.running.discard(trial.id)
        self.unfinished.discard(trial.id)
        self.known[trial.id] = self._store(record)
        self.watcher.on_record(trial, record)

    def _store(self, record: Record) -> Summary:
        return self.store.append(with_earlier(record, self.known.get(record.trial_id), self.store))


def known_of(plan: Plan, store: Store) -> tuple[dict[str, Summary], list[DamagedLine]]:
    """What is recorded of this plan and complete, by trial id; and the store's damaged lines."""
    stored, damaged = store.summaries_or_none()
    found = (stored.get(trial) for trial in plan.by_id)
    known = {one.trial_id: one for one in found if one and one.completed and store.has_parts(one)}
    return known, damaged


def pending_trials(plan: Plan, known: Mapping[str, Summary], store: Store) -> tuple[Trial, ...]:
    """What has no completed record, and what must run again so that every comparison can be made."""
    wanted = {
        name
        for name, trial in plan.by_id.items()
        if name not in known or awaits_distance(known[name], trial, known)
    }
    references = {plan.by_id[name].reference for name in wanted} - {None}
    lost = {
        reference
        for reference in references
        if reference is not None
        and reference in known
        and known[reference].has_distance
        and not has_predictions(store.folder, reference)
    }
    wanted |= lost
    return tuple(trial for name, trial in plan.by_id.items() if name in wanted)


def awaits_distance(own: Summary, trial: Trial, known: Mapping[str, Summary]) -> bool:
    """Whether a measured trial lacks the distance from a baseline that was scored or is still to run."""
    if trial.reference is None or own.has_distance:
        return False
    baseline = known.get(trial.reference)
    return baseline is None or baseline.has_distance


def with_earlier(record: Record, earlier: Summary | None, store: Store) -> Record:
    """The record; where it failed and the trial had been measured before, those figures with the failure."""
    if record.failure is None or earlier is None:
        return record
    return whole(store.record(earlier)).model_copy(update={"failure": record.failure})
