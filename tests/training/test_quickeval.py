"""The built-in task as shipped: its format, and what its tests accept and reject."""

import ast
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from training.quickeval import DESTINATION, Generated, generate_problems, main
from training.variants import guarded

from quantbench.tasks.quickeval import load_quickeval

PROBLEMS = load_quickeval().problems


@pytest.fixture(scope="module")
def generated() -> list[Generated]:
    return generate_problems()


def _check(test: str) -> Callable[[Any], None]:
    space: dict[str, Any] = {}
    exec(test, space)
    check: Callable[[Any], None] = space["check"]
    return check


def _rejects(check: Callable[[Any], None], function: Callable[..., Any]) -> bool:
    try:
        check(function)
    except Exception:  # a failed assertion, or whatever a wrong variant raises
        return True
    return False


def test_there_are_164_problems_in_humanevals_format() -> None:
    rows = [json.loads(line) for line in DESTINATION.read_text().splitlines()]
    assert [row["task_id"] for row in rows] == [f"quickeval/{n}" for n in range(164)]
    assert {tuple(row) for row in rows} == {
        ("task_id", "prompt", "canonical_solution", "test", "entry_point")
    }


@pytest.mark.long
def test_the_command_writes_the_shipped_file_byte_for_byte(tmp_path: Path) -> None:
    main(tmp_path / "quickeval.jsonl")
    assert (tmp_path / "quickeval.jsonl").read_bytes() == DESTINATION.read_bytes()


def test_every_canonical_solution_passes_its_test() -> None:
    for problem in PROBLEMS:
        space: dict[str, Any] = {}
        exec(problem.prompt + problem.canonical_solution + problem.test, space)
        space["check"](space[problem.entry_point])


def test_every_test_has_at_least_eight_different_assertions() -> None:
    for problem in PROBLEMS:
        asserts = [n for n in ast.walk(ast.parse(problem.test)) if isinstance(n, ast.Assert)]
        assert len({ast.dump(one) for one in asserts}) >= 8, problem.task_id


@pytest.mark.long
def test_every_test_rejects_at_least_five_wrong_variants(generated: list[Generated]) -> None:
    for number, problem in enumerate(generated):
        check = _check(PROBLEMS[number].test)
        takes = len(problem.member.family.takes)
        wrong = [body for body in problem.rejected if _rejects(check, guarded(body, takes))]
        assert len(set(wrong)) >= 5, problem.member.key


def test_an_empty_answer_passes_no_test() -> None:
    for problem in PROBLEMS:
        assert _rejects(_check(problem.test), lambda *_: None), problem.task_id


def test_the_task_says_that_it_is_not_comparable() -> None:
    task = load_quickeval()
    assert not task.comparable
    assert "not comparable with HumanEval" in (task.note or "")


def test_no_canonical_solution_is_cut_by_a_stop() -> None:
    protocol = load_quickeval().protocol
    for problem in PROBLEMS:
        assert protocol.truncate(problem.canonical_solution) == problem.canonical_solution
