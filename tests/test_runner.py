"""The runner runs what is missing, stores each record as it comes, and outlives trials that fail."""

from pathlib import Path

import pytest

from quantbench.plan import Plan, Trial
from quantbench.records import Record
from quantbench.runner import run_plan
from quantbench.store import Store
from tests.builders import make_record, make_trial

FIRST, SECOND = make_trial(), make_trial(method="int8")
PLAN = Plan(trials=(FIRST, SECOND), baseline="fp16")


class Log:
    """A watcher with an execute function; it remembers what happened."""

    def __init__(self, failing: str | None = None) -> None:
        self.executed: list[str] = []
        self.skipped: list[str] = []
        self.failing = failing

    def execute(self, trial: Trial) -> Record:
        self.executed.append(trial.label)
        return make_record(trial, failure="broke" if trial.label == self.failing else None)

    def on_skip(self, trial: Trial) -> None:
        self.skipped.append(trial.label)

    def on_start(self, trial: Trial, number: int, count: int) -> None:
        pass

    def on_record(self, trial: Trial, record: Record) -> None:
        pass


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def run(store: Store, log: Log) -> list[Record]:
    return run_plan(PLAN, store, log.execute, log)[0]


def test_records_come_in_the_order_of_the_plan(store: Store) -> None:
    assert [record.method for record in run(store, Log())] == ["fp16", "int8"]


def test_a_second_run_executes_nothing(store: Store) -> None:
    run(store, Log())
    log = Log()
    run(store, log)
    assert (log.executed, log.skipped) == ([], ["fp16", "int8"])


def test_a_failed_trial_is_kept_and_the_others_go_on(store: Store) -> None:
    records = run(store, Log(failing="fp16"))
    assert [record.completed for record in records] == [False, True]
    assert [record.completed for record in store.read()[0]] == [False, True]


def test_a_failed_trial_is_tried_again_by_the_next_run(store: Store) -> None:
    run(store, Log(failing="int8"))
    log = Log()
    records = run(store, log)
    assert log.executed == ["int8"]
    assert all(record.completed for record in records)


def test_what_was_measured_before_an_interruption_is_kept(store: Store) -> None:
    class Interruption(KeyboardInterrupt):
        record = make_record(SECOND, failure="stopped")

    def execute(trial: Trial) -> Record:
        if trial == SECOND:
            raise Interruption
        return make_record(trial)

    with pytest.raises(KeyboardInterrupt):
        run_plan(PLAN, store, execute, Log())
    assert [record.failure is None for record in store.read()[0]] == [True, False]
