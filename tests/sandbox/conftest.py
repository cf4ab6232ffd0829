"""Boxes in each mode that this machine has; a mode that it lacks is skipped with its reason."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from quantbench.errors import SandboxError
from quantbench.sandbox.modes import BUBBLEWRAP, LANDLOCK
from tests.sandbox.arena import Arena

MODES = (BUBBLEWRAP, LANDLOCK)


@pytest.fixture(scope="module", params=MODES)
def arena(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    """A box of one mode under small limits."""
    try:
        arena = Arena(request.param, tmp_path_factory.mktemp("guard"))
    except SandboxError as error:
        pytest.skip(str(error))
    yield arena
    arena.lane.kill()


@pytest.fixture(scope="session")
def humaneval_file() -> Path:
    """The published HumanEval, which is not part of this repository."""
    beside = Path(__file__).parents[3] / "shared" / "data" / "HumanEval.jsonl.gz"
    given = os.environ.get("HUMANEVAL_OVERRIDE_PATH")
    path = Path(given) if given else beside
    if not path.is_file():
        pytest.skip("no HumanEval here; set HUMANEVAL_OVERRIDE_PATH to HumanEval.jsonl.gz")
    return path
