"""Each trial runs in a process of its own, and whatever ends that process, what was measured is kept."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from quantbench.executors.interruption import TrialInterrupted
from quantbench.executors.local import LocalExecutor
from quantbench.executors.processes import ForkServer
from quantbench.records import Record
from tests.builders import make_trial

TRIAL = make_trial(
    model="builtin",
    dtype="float32",
    threads=1,
    prompt_tokens=(8,),
    new_tokens=4,
    speed_budget_s=0.05,
)


def children() -> list[psutil.Process]:
    return psutil.Process().children()


def run(folder: Path, progress: Callable[[str, int, int], None]) -> Record:
    with ForkServer() as server:
        return LocalExecutor(folder, server=server, command="a test", progress=progress)(TRIAL)


def quiet(stage: str, done: int, total: int) -> None:
    pass


def test_a_trial_is_measured_in_another_process(tmp_path: Path) -> None:
    record = run(tmp_path, quiet)
    assert record.failure is None
    assert record.trial_id == TRIAL.id
    assert record.environment.command == "a test"
    assert record.size is not None
    assert record.speed[0].decode_s


def test_a_killed_process_becomes_a_record_with_its_reason(tmp_path: Path) -> None:
    def kill(stage: str, done: int, total: int) -> None:
        if stage == "loading":
            for child in children():
                child.send_signal(signal.SIGKILL)

    record = run(tmp_path, kill)
    assert record.failure is not None
    assert (record.failure.stage, record.failure.kind) == ("process", "killed")
    assert "SIGKILL" in record.failure.message


def test_what_was_measured_before_a_death_is_kept(tmp_path: Path) -> None:
    def kill(stage: str, done: int, total: int) -> None:
        if "speed" in stage or "measuring" in stage:
            for child in children():
                child.send_signal(signal.SIGKILL)

    record = run(tmp_path, kill)
    assert record.failure is not None
    assert record.model is not None
    assert record.model.parameters > 1_000_000


def test_ctrl_c_stops_at_once_and_leaves_no_process(tmp_path: Path) -> None:
    def interrupt(stage: str, done: int, total: int) -> None:
        if stage == "loading":
            raise KeyboardInterrupt

    with pytest.raises(TrialInterrupted) as stopped:
        run(tmp_path, interrupt)
    failure = stopped.value.record.failure
    assert failure is not None
    assert failure.kind == "interrupted"
    assert children() == []


def test_a_users_mistake_inside_a_trial_needs_no_traceback(tmp_path: Path) -> None:
    trial = make_trial(model=str(tmp_path / "missing"))
    with ForkServer() as server:
        record = LocalExecutor(tmp_path, server=server, command="a test", progress=quiet)(trial)
    assert record.failure is not None
    assert record.failure.traceback is None
    assert os.fspath(tmp_path) in record.failure.message
