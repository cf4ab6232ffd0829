"""Verdicts are those of a plain run, in which program and test share one process."""

from collections.abc import Iterator

import pytest

from quantbench.errors import SandboxError
from quantbench.records import Outcome
from quantbench.sandbox.pool import Sandbox, open_sandbox
from tests.sandbox.conftest import MODES
from tests.sandbox.mutants import plain_verdicts
from tests.sandbox.semantics import PROGRAMS


@pytest.fixture(scope="module", params=MODES)
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    try:
        with open_sandbox(mode=request.param) as sandbox:
            yield sandbox
    except SandboxError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def plain() -> dict[str, bool]:
    return dict(zip(PROGRAMS, plain_verdicts(list(PROGRAMS.values())), strict=True))


def test_verdicts_depend_on_the_program(plain: dict[str, bool]) -> None:
    assert 15 <= sum(not passed for passed in plain.values()) <= len(PROGRAMS) // 3


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_verdict_is_that_of_a_plain_run(sandbox: Sandbox, plain: dict[str, bool], name: str) -> None:
    execution = sandbox.run([PROGRAMS[name]])[0]
    assert (execution.outcome == Outcome.PASSED) == plain[name], execution.detail
