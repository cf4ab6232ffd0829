"""A started server ends with its trial, however that ends; one that ends by itself says why."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from quantbench.errors import ServerError, UsageError
from quantbench.serving.finding import find_engine
from quantbench.serving.http import Server
from quantbench.serving.process import started, wait_ready

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
PARENT = """
import sys, time
from pathlib import Path
from quantbench.serving.process import started
with started("toy", [sys.executable, "-c", "import time; time.sleep(60)"], Path(sys.argv[1]), {}) as server:
    print(server.tree()[0].pid, flush=True)
    time.sleep(60)
"""


def ends(pid: int, seconds: float = 20) -> bool:
    """Whether a process ends soon."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.02)
    return False


def test_a_server_ends_with_its_block(tmp_path: Path) -> None:
    with started("toy", SLEEP, tmp_path / "log", {}) as server:
        (process,) = server.tree()
    assert ends(process.pid)


@pytest.mark.skipif(sys.platform != "linux", reason="the system's own help is Linux's")
def test_a_server_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path / "log")],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    assert ends(pid)


def test_a_server_that_ends_at_once_says_why(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise SystemExit('error: no such model')"]
    with (
        started("toy", command, tmp_path / "log", {}) as server,
        pytest.raises(ServerError, match=r"ended with status 1: error: no such model; its log is"),
    ):
        wait_ready(server, Server("http://127.0.0.1:9"), 30)


def test_a_server_that_never_answers_is_given_up(tmp_path: Path) -> None:
    with (
        started("toy", SLEEP, tmp_path / "log", {}) as server,
        pytest.raises(ServerError, match=r"did not answer within 0\.1 s"),
    ):
        wait_ready(server, Server("http://127.0.0.1:9"), 0.1)


@pytest.mark.parametrize("engine", ["llama.cpp", "vllm"])
@pytest.mark.parametrize(
    ("path", "said"), [("/no/such", "no program that can be run"), (sys.executable, "has no package")]
)
def test_an_engine_that_is_not_there_is_said_with_the_way_to_install_it(
    engine: str, path: str, said: str
) -> None:
    with pytest.raises(UsageError, match=rf"{said}.*pip install"):
        find_engine(engine, path)
