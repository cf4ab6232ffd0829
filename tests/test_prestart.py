"""When a run's imports begin before its command line is read, and that they end with a run that is none."""

import subprocess
import sys

import pytest

from quantbench import prestart


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """What was started, in place of a process."""
    found: list[dict[str, str]] = []

    def begin(environment: dict[str, str]) -> dict[str, str]:
        found.append(environment)
        return environment

    monkeypatch.setattr(prestart, "begin", begin)
    monkeypatch.setattr(prestart, "_early", [])
    monkeypatch.setattr(sys, "platform", "linux")
    return found


def test_a_runs_imports_begin_at_once_and_are_taken_once(begun: list[dict[str, str]]) -> None:
    prestart.begin_early(["run", "builtin"])
    assert prestart.take_early() is not None and begun == [{}]
    assert prestart.take_early() is None


@pytest.mark.parametrize("arguments", [[], ["report", "run"], ["run", "--dry-run"], ["run", "-h"]])
def test_nothing_begins_for_what_measures_nothing(arguments: list[str], begun: list[dict[str, str]]) -> None:
    prestart.begin_early(arguments)
    assert begun == []


@pytest.mark.skipif(sys.platform != "linux", reason="imports begin early on Linux alone")
def test_a_process_that_nobody_takes_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    asleep = [sys.executable, "-c", "import time; time.sleep(60)"]
    early = prestart.begin({}, asleep)
    monkeypatch.setattr(prestart, "_early", [early])
    prestart.end_early()
    early.connection.close()
    early.errors.close()
    assert isinstance(early.process, subprocess.Popen) and early.process.poll() == -9
