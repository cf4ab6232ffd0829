"""Runs that are killed again and again at random places end with the records of an undisturbed run.

A stand-in for a trial's process goes through the stages of a real one with the real store, runner, partial
files and predictions of the baseline; at any of its steps the trial, or the whole run, may die.
"""

import os
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from quantbench.evaluation.distance import reference_path
from quantbench.executors import local
from quantbench.executors.local import read_partial
from quantbench.measure.predictions import (
    Reference,
    ReferenceMissing,
    ScoredText,
    load_reference,
    save_reference,
)
from quantbench.plan import Plan, Trial
from quantbench.records import Distance, Failure, ProblemDistance, Record, Size
from quantbench.runner import run_plan
from quantbench.store import Store, write_atomically
from tests.builders import make_record, make_trial

TEXTS = (ScoredText(name="a", token_ids=(1, 2, 3)),)
PREDICTIONS = Reference(
    digest="",
    ids=np.zeros((2, 1), dtype=np.int32),
    log_p=np.zeros((2, 1), dtype=np.float32),
    log_rest=np.full(2, -np.inf, dtype=np.float32),
    nll=np.ones(2, dtype=np.float32),
)
BASELINE = make_trial(tasks=("quickeval",))
OTHERS = tuple(
    make_trial(tasks=("quickeval",), reference=BASELINE.id, **changes)
    for changes in ({"method": "int8"}, {"method": "int4"}, {"role": "floor", "batch_size": 31})
)
PLAN = Plan(trials=(BASELINE, *OTHERS), baseline="fp16")
SIZE = Size(weight_bytes=1, effective_bits=8.0)
LIMIT = 200  # runs until everything must be there


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the machine's description nor the disk's own caches matter here."""
    monkeypatch.setattr(local, "new_record", make_record)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


class TrialDied(Exception):
    """The trial's process was killed."""


class RunDied(BaseException):
    """The run itself was killed: nobody cleans up."""


class StandIn:
    """An executor whose steps may be fatal; `draw` decides."""

    def __init__(self, folder: Path, draw: random.Random, *, deaths: float) -> None:
        self._folder, self._draw, self._deaths = folder, draw, deaths
        self.executed: list[str] = []

    def __call__(self, trial: Trial) -> Record:
        self.executed.append(trial.label)
        path = self._folder / ".partial" / f"{trial.id}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        try:
            self._measure(trial, path)
        except TrialDied:
            return read_partial(path, trial, Failure(stage="process", kind="killed", message="SIGKILL"))
        return read_partial(path, trial, None)

    def _measure(self, trial: Trial, path: Path) -> None:
        record = make_record(trial)
        self._step()
        self._keep(path, record.model_copy(update={"size": SIZE}))
        predictions = reference_path(self._folder, trial.reference or trial.id)
        if trial.reference is None:
            save_reference(predictions, replace(PREDICTIONS, digest=digest()))
            self._step()
        update: dict[str, object] = {"size": SIZE}
        try:
            load_reference(predictions, TEXTS)
            update["distance"] = distance(trial)
        except ReferenceMissing as missing:
            update["warnings"] = (str(missing),)
        self._keep(path, record.model_copy(update=update))

    def _keep(self, path: Path, record: Record) -> None:
        write_atomically(path, record.model_dump_json().encode())
        self._step()

    def _step(self) -> None:
        if self._draw.random() < self._deaths:
            raise self._draw.choice((TrialDied, RunDied))


def digest() -> str:
    from quantbench.measure.predictions import digest_of

    return digest_of(TEXTS)


def distance(trial: Trial) -> Distance:
    kl = () if trial.reference is None else (0.1, 0.2)
    problem = ProblemDistance(task_id="a", tokens=2, nll=2.0, baseline_nll=2.0, kl=kl, same_top=2)
    return Distance(text="a", top_k=1, problems=(problem,))


class Silent:
    """A watcher that watches nothing."""

    def on_skip(self, trial: Trial) -> None: ...

    def on_start(self, trial: Trial, number: int, count: int) -> None: ...

    def on_record(self, trial: Trial, record: Record) -> None: ...


def run(folder: Path, draw: random.Random, *, deaths: float) -> tuple[list[Record] | None, list[str]]:
    """The records of one run, None where it was killed; and what it executed."""
    store = Store(folder)
    store.create()
    stand_in = StandIn(folder, draw, deaths=deaths)
    try:
        return run_plan(PLAN, store, stand_in, Silent())[0], stand_in.executed
    except RunDied:
        return None, stand_in.executed


def finish(folder: Path, draw: random.Random, *, deaths: float) -> list[Record]:
    """Run the same command until it says that everything was measured."""
    for _ in range(LIMIT):
        records, _ = run(folder, draw, deaths=deaths)
        if records is not None and all(record.completed for record in records):
            return records
    raise AssertionError("never finished")


def check_seeds(folder: Path, deaths: float, seeds: range) -> None:
    """Every seed's run ends with the records of an undisturbed one."""
    undisturbed = finish(folder / "undisturbed", random.Random(0), deaths=0)
    for seed in seeds:
        finish(folder / str(seed), random.Random(seed), deaths=deaths)
        assert run(folder / str(seed), random.Random(0), deaths=0)[0] == undisturbed, f"seed {seed}"


@pytest.mark.parametrize("deaths", [0.05, 0.2, 0.4])
def test_killed_and_resumed_runs_end_with_an_undisturbed_runs_records(tmp_path: Path, deaths: float) -> None:
    check_seeds(tmp_path, deaths, range(12))


@pytest.mark.long
@pytest.mark.parametrize("deaths", [0.05, 0.1, 0.2, 0.3, 0.4])
def test_so_they_do_a_thousand_times(tmp_path: Path, deaths: float) -> None:
    check_seeds(tmp_path, deaths, range(100, 300))


def failing_baseline(folder: Path) -> list[str]:
    """What a run executes whose baseline alone dies."""
    store = Store(folder)
    store.create()
    stand_in = StandIn(folder, random.Random(0), deaths=0)

    def execute(trial: Trial) -> Record:
        record = stand_in(trial) if trial.reference else make_record(trial, failure="broke")
        if not trial.reference:
            stand_in.executed.append(trial.label)
        return record

    run_plan(PLAN, store, execute, Silent())
    return stand_in.executed


def test_the_others_are_measured_when_the_baseline_fails_and_completed_by_the_next_run(
    tmp_path: Path,
) -> None:
    assert failing_baseline(tmp_path) == [trial.label for trial in PLAN.trials]
    records, _ = Store(tmp_path).read()
    assert [record.size is not None for record in records] == [False, True, True, True]
    assert all("the distance from it is not known" in r.warnings[0] for r in records[1:])
    records_now, executed = run(tmp_path, random.Random(0), deaths=0)
    assert executed == [trial.label for trial in PLAN.trials]
    assert records_now is not None and all(record.distance for record in records_now)


def test_what_cannot_be_completed_is_not_measured_again(tmp_path: Path) -> None:
    failing_baseline(tmp_path)
    assert failing_baseline(tmp_path) == ["fp16"]


def test_lost_predictions_are_made_again_where_a_trial_needs_them(tmp_path: Path) -> None:
    finish(tmp_path, random.Random(0), deaths=0)
    reference_path(tmp_path, BASELINE.id).write_bytes(b"PK damaged")
    assert run(tmp_path, random.Random(0), deaths=0)[1] == []
    lines = (tmp_path / "records.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "records.jsonl").write_bytes(b"".join(line for line in lines if b"int8" not in line))
    records, executed = run(tmp_path, random.Random(0), deaths=0)
    assert executed == ["fp16", "int8"]
    assert records is not None and all(record.distance for record in records)


def test_a_trial_that_dies_while_it_is_completed_keeps_its_figures(tmp_path: Path) -> None:
    failing_baseline(tmp_path)
    store = Store(tmp_path)
    stand_in = StandIn(tmp_path, random.Random(0), deaths=0)

    def execute(trial: Trial) -> Record:
        return make_record(trial, failure="killed") if trial.method == "int8" else stand_in(trial)

    run_plan(PLAN, store, execute, Silent())
    record = next(record for record in store.read()[0] if record.method == "int8")
    assert record.size == SIZE and record.failure is not None
