"""On the published problems: right is right, wrong is wrong, as the official evaluator has it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from quantbench.errors import SandboxError
from quantbench.records import Outcome
from quantbench.sandbox.pool import Sandbox, open_sandbox, usable_cores
from quantbench.sandbox.program import Program
from quantbench.tasks.problem import Problem
from quantbench.tasks.problem_file import read_problems
from tests.sandbox.conftest import MODES
from tests.sandbox.mutants import MUTATORS, differences


@pytest.fixture(scope="module")
def problems(humaneval_file: Path) -> tuple[Problem, ...]:
    return read_problems(humaneval_file)


@pytest.fixture(scope="module", params=MODES)
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    try:
        with open_sandbox(mode=request.param) as sandbox:
            yield sandbox
    except SandboxError as error:
        pytest.skip(str(error))


def programs(problems: tuple[Problem, ...], completion: str | None = None) -> list[Program]:
    return [
        Program(
            task_id=problem.task_id,
            prompt=problem.prompt,
            completion=problem.canonical_solution if completion is None else completion,
            test=problem.test,
            entry_point=problem.entry_point,
        )
        for problem in problems
    ]


def test_every_canonical_solution_passes(sandbox: Sandbox, problems: tuple[Problem, ...]) -> None:
    ended = zip(problems, sandbox.run(programs(problems)), strict=True)
    assert [(p.task_id, e.detail) for p, e in ended if e.outcome != Outcome.PASSED] == []


def test_no_empty_completion_passes(sandbox: Sandbox, problems: tuple[Problem, ...]) -> None:
    assert all(e.outcome == Outcome.FAILED for e in sandbox.run(programs(problems, "")))


def test_four_times_more_workers_than_cores_time_no_one_out(problems: tuple[Problem, ...]) -> None:
    with open_sandbox(workers=4 * usable_cores()) as sandbox:
        executions = sandbox.run(programs(problems))
    assert {execution.outcome for execution in executions} == {Outcome.PASSED}


@pytest.mark.parametrize(
    "mutator", [pytest.param(m, marks=pytest.mark.long) if m == "tree" else m for m in MUTATORS]
)
def test_verdicts_on_mutants_are_those_of_a_plain_run(problems: tuple[Problem, ...], mutator: str) -> None:
    check_parity(problems, mutator, 1, None)


@pytest.mark.long
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("mutator", MUTATORS)
def test_verdicts_on_many_mutants_are_those_of_a_plain_run(
    problems: tuple[Problem, ...], mutator: str, mode: str
) -> None:
    check_parity(problems, mutator, 9, mode)


def check_parity(problems: tuple[Problem, ...], mutator: str, per_problem: int, mode: str | None) -> None:
    changed = [mutant for problem in problems for mutant in MUTATORS[mutator](problem, per_problem)]
    found, outcomes = differences(changed, mode)
    assert found == []
    assert outcomes["passed"] >= len(changed) // 40 and outcomes["failed"] >= len(changed) // 3
