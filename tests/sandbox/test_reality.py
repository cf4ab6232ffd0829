"""The attacks are real: without a sandbox they do what the containment suite says the box stops."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from quantbench.sandbox.modes import UNSAFE
from tests.sandbox.arena import Arena
from tests.sandbox.capabilities import CAPABILITIES
from tests.sandbox.case import GAINED, Case
from tests.sandbox.cheats import CHEATS

REAL = [case for case in CAPABILITIES if case.real]
FOOLS = [case for case in CHEATS if case.real]


@pytest.fixture(scope="module")
def open_air(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    arena = Arena(UNSAFE, tmp_path_factory.mktemp("guard"))
    yield arena
    arena.lane.kill()


@pytest.mark.parametrize("case", REAL, ids=[case.name for case in REAL])
def test_without_a_sandbox_the_capability_is_gained(open_air: Arena, case: Case, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "empty").mkdir()
    report = open_air.run(case.program(GAINED.format(guard=str(tmp_path))), case.seconds)
    if report["outcome"] == "forbidden":
        pytest.skip(f"this machine itself refuses it: {report['detail']}")
    assert (report["outcome"], report["detail"]) == ("passed", "")


@pytest.mark.parametrize("case", FOOLS, ids=[case.name for case in FOOLS])
def test_a_test_in_the_same_process_is_fooled(case: Case) -> None:
    source = f"{case.program().completion}\n{case.test}\ncheck(f)\n"
    ended = subprocess.run([sys.executable, "-I", "-S", "-c", source], stderr=subprocess.DEVNULL, timeout=20)
    assert ended.returncode == 0
