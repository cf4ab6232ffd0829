"""Whatever ends a run, what was measured is kept, and nothing that it started outlives it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from quantbench.store import Store

LIMIT_S = 20.0  # for a busy machine to start a process


class Run:
    """A driver in progress, once its trial has started a program and made a folder."""

    def __init__(self, folder: Path, *, seconds: float = 60, ignored: int | None = None) -> None:
        def ignore() -> None:
            if ignored is not None:
                signal.signal(ignored, signal.SIG_IGN)

        temporary = folder / "tmp"
        temporary.mkdir()
        self.results = folder / "results"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.executors.driver", str(self.results), str(seconds)],
            env=os.environ | {"TMPDIR": str(temporary)},
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=ignore,
        )
        self.temporary = temporary
        wait_for(lambda: (self.results / "started").exists() and self._started())
        compiler, made = (self.results / "started").read_text().split()
        self.family = [psutil.Process(int(compiler)), *psutil.Process(self.process.pid).children(True)]
        self.made = Path(made)

    def _started(self) -> bool:
        return len((self.results / "started").read_text().split()) == 2

    def left(self) -> list[psutil.Process]:
        """What the run started and still runs."""
        return [p for p in self.family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def wait_for(condition: Callable[[], bool], limit_s: float = LIMIT_S) -> None:
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_keeps_what_was_measured_and_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    run = Run(tmp_path)
    run.process.send_signal(number)
    assert run.process.wait(LIMIT_S) == 128 + number
    (record,), _ = Store(run.results).read()
    assert record.warnings == ("measured so far",)
    assert record.failure is not None and record.failure.kind == "interrupted"
    assert run.left() == []
    assert list(run.temporary.iterdir()) == []


def test_several_ctrl_c_in_a_row_are_as_good_as_one(tmp_path: Path) -> None:
    run = Run(tmp_path)
    for _ in range(5):
        run.process.send_signal(signal.SIGINT)
        time.sleep(0.002)
    assert run.process.wait(LIMIT_S) == 130
    (record,), _ = Store(run.results).read()
    assert record.warnings == ("measured so far",)
    assert run.left() == []


def test_nothing_outlives_a_killed_run_for_a_second(tmp_path: Path) -> None:
    run = Run(tmp_path)
    assert run.made.is_dir() and run.temporary in run.made.parents and len(run.left()) >= 3
    run.process.kill()
    run.process.wait()
    wait_for(lambda: run.left() == [] and list(run.temporary.iterdir()) == [], limit_s=1.0)


def test_a_signal_that_was_ignored_stays_ignored(tmp_path: Path) -> None:
    run = Run(tmp_path, seconds=1.0, ignored=signal.SIGHUP)
    run.process.send_signal(signal.SIGHUP)
    assert run.process.wait(LIMIT_S) == 0
    (record,), _ = Store(run.results).read()
    assert record.failure is None


def test_a_trial_that_ends_in_order_leaves_no_folder(tmp_path: Path) -> None:
    run = Run(tmp_path, seconds=0.1)
    assert run.process.wait(LIMIT_S) == 0
    assert list(run.temporary.iterdir()) == [] and run.left() == []
