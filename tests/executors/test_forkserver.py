"""Trials are forked from one server, each into a process and a session of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from quantbench.executors import processes
from quantbench.executors.forkserver import age_s
from quantbench.executors.processes import ForkServer, TrialProcess, started

SERVE = "from quantbench.executors import forkserver; from tests.executors import test_forkserver as test; "
TOLD_S, LIMIT_S = 0.01, 20.0


def tell() -> None:
    """In place of a trial: say what this process is, wait for a line, end as that says."""
    facts = {
        "pid": os.getpid(),
        "parent": os.getppid(),
        "session": os.getsid(0),
        "folder": os.environ["TMPDIR"],
    }
    print(json.dumps(facts), flush=True)
    word = sys.stdin.readline().strip()
    print("a line for the log", file=sys.stderr)
    if word != "well":
        raise RuntimeError(word)


def never() -> None:
    """No reason to stop waiting."""


@pytest.fixture
def serving(monkeypatch: pytest.MonkeyPatch) -> Iterator[ForkServer]:
    """A server whose trials are `tell`."""
    yield from _server(monkeypatch, f"{SERVE}forkserver.serve(lambda: test.tell)")


def _server(monkeypatch: pytest.MonkeyPatch, code: str) -> Iterator[ForkServer]:
    monkeypatch.setattr(processes, "SERVER", [sys.executable, "-c", code])
    with ForkServer() as server:
        yield server


def facts_of(child: TrialProcess) -> dict[str, Any]:
    return dict(json.loads(child.stdout.readline()))


def answer(child: TrialProcess, word: str) -> int | None:
    """Its status, once it was told how to end."""
    child.stdin.write(f"{word}\n".encode())
    child.stdin.flush()
    return child.wait(LIMIT_S)


def gone(pid: int) -> bool:
    """Whether a process has ended, reaped or not, soon."""
    end = time.monotonic() + LIMIT_S
    while time.monotonic() < end:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(TOLD_S)
    return False


def test_trials_are_processes_and_sessions_of_their_own(serving: ForkServer, tmp_path: Path) -> None:
    told = []
    for _ in range(2):
        with (tmp_path / "log").open("wb") as log, started(serving, log, never) as child:
            told.append(facts_of(child))
            assert answer(child, "well") == 0
    first, second = told
    assert first["pid"] == first["session"] != second["pid"] == second["session"]
    assert first["parent"] == second["parent"] != os.getpid()
    assert first["folder"] != second["folder"] and not Path(first["folder"]).exists()


def test_what_a_trial_raises_is_in_its_log(serving: ForkServer, tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log, started(serving, log, never) as child:
        assert answer(child, "badly") == 1
    assert "RuntimeError: badly" in (tmp_path / "log").read_text()


def test_a_trial_that_is_killed_says_by_what(serving: ForkServer, tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log, started(serving, log, never) as child:
        os.kill(facts_of(child)["pid"], signal.SIGSEGV)
        assert child.wait(LIMIT_S) == -signal.SIGSEGV


def test_a_server_that_is_killed_ends_its_trial_and_is_replaced(serving: ForkServer, tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log, started(serving, log, never) as child:
        facts = facts_of(child)
        os.kill(facts["parent"], signal.SIGKILL)
        assert child.wait(LIMIT_S) == -signal.SIGKILL
        assert gone(facts["pid"])
    with (tmp_path / "log").open("wb") as log, started(serving, log, never) as child:
        assert facts_of(child)["parent"] != facts["parent"]
        assert answer(child, "well") == 0


def test_a_trial_that_outlives_its_kill_does_not_hold_up_the_next(
    serving: ForkServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "KILLED_S", 0.0)
    for _ in range(3):
        with (tmp_path / "log").open("wb") as log, started(serving, log, never) as child:
            assert facts_of(child)["pid"] == child.pid


def test_a_server_that_cannot_import_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for server in _server(monkeypatch, "import no_such_library"):
        with (tmp_path / "log").open("wb") as log, started(server, log, never) as child:
            assert child.wait(LIMIT_S) == 1
    assert "no_such_library" in (tmp_path / "log").read_text()


def test_where_forking_is_unsafe_each_trial_has_a_server(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    parents = set()
    for server in _server(
        monkeypatch, f"{SERVE}forkserver.FORKS = False; forkserver.serve(lambda: test.tell)"
    ):
        for _ in range(2):
            with (tmp_path / "log").open("wb") as log, started(server, log, never) as child:
                facts = facts_of(child)
                parents.add(facts["pid"])
                assert facts["parent"] == os.getpid() and facts["session"] == facts["pid"]
                assert answer(child, "well") == 0
    assert len(parents) == 2


def test_waiting_for_the_imports_ends_when_the_run_is_asked_to(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    for server in _server(monkeypatch, "import time; time.sleep(60)"):
        with (tmp_path / "log").open("wb") as log, pytest.raises(KeyboardInterrupt):
            server.fork(log, tmp_path, stop)
    assert psutil.Process().children() == []


MEMORY = """
import os, re, numpy
from quantbench.executors.residency import map_again, resident_file_pages
def of_files():
    return int(re.search(r"RssFile:\\s+(\\d+)", open("/proc/self/status").read())[1])
pages, before = resident_file_pages(), of_files()
if child := os.fork():
    assert os.waitpid(child, 0)[1] == 0
else:
    assert of_files() < 0.8 * before
    map_again(pages)
    assert 0.98 * before < of_files() < 1.1 * before
"""


@pytest.mark.skipif(sys.platform != "linux", reason="what a fork has in memory is told by Linux alone")
def test_a_fork_has_the_libraries_pages_in_its_memory() -> None:
    assert subprocess.run([sys.executable, "-c", MEMORY]).returncode == 0


@pytest.mark.gpu
def test_what_a_trial_is_forked_from_has_not_asked_for_a_device() -> None:
    code = (
        "from quantbench.executors import forkserver; forkserver.imported(); "
        "import os, torch; assert not torch.cuda.is_initialized(); "
        "child = os.fork(); child or torch.zeros(1, device='cuda'); "
        "assert not child or os.waitpid(child, 0)[1] == 0"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the wall clock is all there is")
@pytest.mark.parametrize("jump_s", [1e6, -1e6])
def test_a_clock_that_is_set_meanwhile_does_not_change_how_long_importing_took(
    jump_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, now = age_s(), time.time()
    monkeypatch.setattr(time, "time", lambda: now + jump_s)
    assert 0 < before <= age_s() < before + 60
