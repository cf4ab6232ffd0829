"""Trials side by side: each lane has its own cores and GPU, and nothing runs before its baseline."""

import threading
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from quantbench.executors import lanes
from quantbench.executors.interruption import Interruption, TrialInterrupted
from quantbench.executors.job import Job
from quantbench.executors.lanes import CORES, VISIBLE, Lane, Lanes, lanes_of
from quantbench.executors.processes import ForkServer
from quantbench.plan import Plan, Trial
from quantbench.records import Record
from quantbench.runner import walk_plan
from quantbench.store import Store
from tests.builders import make_record, make_trial

TWO = ("cuda:0", "cuda:1")


def plan_of(*models: str) -> Plan:
    trials = []
    for model in models:
        first = make_trial(model=model, tasks=("quickeval",))
        others = (
            make_trial(model=model, method=m, tasks=("quickeval",), reference=first.id)
            for m in ("int8", "int4")
        )
        trials += [first, *others]
    return Plan(trials=tuple(trials), baseline="fp16")


class Watch:
    """A watcher that shows nothing and counts starts."""

    def __init__(self) -> None:
        self.started: list[str] = []

    def on_skip(self, trial: Trial) -> None: ...

    def on_start(self, trial: Trial, number: int, count: int) -> None:
        self.started.append(trial.id)

    def on_record(self, trial: Trial, record: Record) -> None: ...

    def progress(self, stage: str, done: int, total: int) -> None: ...

    def lane(self, name: str) -> Callable[[str, int, int], None]:
        return self.progress


class Machine:
    """Executes trials in place of processes, and notes when each began and ended, and where."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, act: Callable[[Trial], None] | None = None) -> None:
        self.spans: dict[str, tuple[str, float, float]] = {}
        self.act = act or (lambda trial: time.sleep(0.02))
        monkeypatch.setattr(lanes, "LocalExecutor", self._executor)

    def _executor(self, folder: Path, *, where: str, **others: Any) -> Callable[[Trial], Record]:
        def execute(trial: Trial) -> Record:
            began = time.monotonic()
            self.act(trial)
            self.spans[trial.id] = (where, began, time.monotonic())
            return make_record(trial)

        return execute


def job_of(folder: Path, plan: Plan) -> Job:
    models = frozenset(trial.model for trial in plan.trials)
    watch, names = Watch(), {trial.id: trial.label for trial in plan.trials}
    return Job(
        folder=folder,
        command="",
        names=names,
        models=models,
        display=watch,
        interruption=Interruption(),
        server=ForkServer(),
    )


def walk(folder: Path, plan: Plan, devices: Sequence[str] = TWO) -> None:
    with Lanes([Lane(name=name, environment={}) for name in devices], job_of(folder, plan)) as pool:
        walk_plan(plan, Store(folder), pool, Watch())


def test_each_lane_has_cores_and_a_gpu_of_its_own() -> None:
    one, two = lanes_of(TWO, cores=range(8))
    assert (one.environment[CORES], two.environment[CORES]) == ("0,1,2,3", "4,5,6,7")
    assert (one.environment[VISIBLE], two.environment[VISIBLE]) == ("0", "1")


def test_a_lane_sees_the_gpu_that_its_number_means_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VISIBLE, "5,GPU-7a")
    assert [lane.environment[VISIBLE] for lane in lanes_of(TWO, cores=range(4))] == ["5", "GPU-7a"]


def test_cores_that_do_not_come_out_even_stay_idle() -> None:
    found = [lane.environment[CORES] for lane in lanes_of(("cpu:0", "cpu:1", "cpu:2"), cores=range(8))]
    assert found == ["0,1", "2,3", "4,5"]
    assert all(VISIBLE not in lane.environment for lane in lanes_of(("cpu:0",), cores=range(2)))


def test_trials_run_side_by_side_and_never_before_their_baseline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, machine = plan_of("a", "b"), Machine(monkeypatch)
    walk(tmp_path, plan)
    spans = machine.spans
    assert set(spans) == {trial.id for trial in plan.trials}
    for trial in plan.trials:
        if trial.reference:
            assert spans[trial.id][1] >= spans[trial.reference][2]
    first, other = plan.trials[0], plan.trials[3]
    assert spans[first.id][1] < spans[other.id][2] and spans[other.id][1] < spans[first.id][2]
    assert len((tmp_path / "records.jsonl").read_text().splitlines()) == len(plan.trials)


def test_a_models_trials_stay_on_one_device_where_there_are_models_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, machine = plan_of("a", "b"), Machine(monkeypatch)
    walk(tmp_path, plan)
    where = {model: {machine.spans[t.id][0] for t in plan.trials if t.model == model} for model in "ab"}
    assert {frozenset(places) for places in where.values()} == {frozenset({"cuda:0"}), frozenset({"cuda:1"})}


def test_one_model_uses_every_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_of("a")
    machine = Machine(monkeypatch)
    walk(tmp_path, plan)
    assert {span[0] for span in machine.spans.values()} == set(TWO)


def test_no_two_trials_run_on_one_device_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch)
    walk(tmp_path, plan_of("a", "b", "c"))
    for place in TWO:
        spans = sorted(span[1:] for span in machine.spans.values() if span[0] == place)
        assert all(before[1] <= after[0] for before, after in pairwise(spans))


def test_an_interruption_stores_what_every_lane_had_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of("a", "b")
    together = threading.Barrier(2)

    def stop(trial: Trial) -> None:
        together.wait(10)
        raise TrialInterrupted(make_record(trial, failure="stopped"), 130)

    Machine(monkeypatch, stop)
    with pytest.raises(TrialInterrupted):
        walk(tmp_path, plan)
    assert {record.trial.model for record in Store(tmp_path).read()[0]} == {"a", "b"}


def test_a_mistake_in_a_lane_is_not_lost_in_its_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(trial: Trial) -> None:
        raise ZeroDivisionError

    Machine(monkeypatch, broken)
    with pytest.raises(ZeroDivisionError):
        walk(tmp_path, plan_of("a"))
