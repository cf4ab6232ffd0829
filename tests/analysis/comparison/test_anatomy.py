"""How answers failed: each is counted once, and what a method lost is told by how it failed."""

from typing import Any

import pytest

from quantbench.analysis.comparison.anatomy import Anatomy, Ending, anatomies, ending_of
from quantbench.analysis.comparison.rows import read_results
from quantbench.records import Completion, Outcome, TaskResult
from tests.report_records import full_record, reference_totals, task_result


def completion(outcome: Outcome = Outcome.FAILED, **more: Any) -> Completion:
    facts = {"task_id": "T/0", "outcome": outcome, "finish_reason": "stop", "tokens": 1} | more
    return Completion(**facts)


@pytest.mark.parametrize(
    ("found", "ending"),
    [
        (completion(Outcome.PASSED), Ending.PASSED),
        (completion(Outcome.PASSED, finish_reason="length"), Ending.PASSED),
        (completion(), Ending.WRONG),
        (completion(detail="AssertionError: Test 1"), Ending.WRONG),
        (completion(detail="the test never called the program"), Ending.WRONG),
        (completion(detail="NameError: name 'x' is not defined"), Ending.EXCEPTION),
        (completion(detail="KeyError"), Ending.EXCEPTION),
        (completion(detail="SyntaxError: '(' was never closed (line 3)"), Ending.SYNTAX),
        (completion(detail="IndentationError: expected a block"), Ending.SYNTAX),
        (completion(detail="SyntaxError: x", finish_reason="length"), Ending.CUT),
        (completion(Outcome.TIMED_OUT, finish_reason="length"), Ending.CUT),
        (completion(Outcome.TIMED_OUT), Ending.TIMED_OUT),
        (completion(detail="NameError: f", code_found=False), Ending.NO_CODE),
        (completion(Outcome.OUT_OF_MEMORY), Ending.MEMORY),
        (completion(Outcome.CRASHED), Ending.CRASHED),
        (completion(Outcome.FORBIDDEN, detail="PermissionError: open"), Ending.FORBIDDEN),
        (completion(finish_reason="unanswered", detail="its prompt has no token"), Ending.UNASKED),
    ],
)
def test_an_answer_has_one_ending(found: Completion, ending: Ending) -> None:
    assert ending_of(found) is ending


def ended(**details: str) -> TaskResult:
    """Ten problems of which those without a detail are solved."""
    completions = tuple(
        completion(Outcome.FAILED if f"p{n}" in details else Outcome.PASSED, task_id=f"humaneval/{n}")
        for n in range(10)
    )
    failed = tuple(
        c.model_copy(update={"detail": details.get(f"p{n}", "")}) for n, c in enumerate(completions)
    )
    return task_result((), 10, completions=failed)


def of_two(baseline: TaskResult, method: TaskResult) -> Anatomy:
    records = [full_record("fp16", 1.0, 40.0, 1.0, baseline), full_record("int4", 0.3, 40.0, 1.0, method)]
    return anatomies(read_results(records, "fp16"))[1]


def test_what_a_method_lost_is_told_by_how_its_answers_failed() -> None:
    found = of_two(
        ended(p8="AssertionError", p9="AssertionError"),
        ended(p0="AssertionError", p1="AssertionError", p2="SyntaxError: x", p9="TypeError: y"),
    )
    assert found.sentence == "int4 loses 3 problems: 2 wrong answers and 1 syntax error; it gains 1."
    assert (found.endings[Ending.PASSED], found.exceptions) == (6, {"TypeError": 1})


def test_nothing_lost_is_said_as_such() -> None:
    assert of_two(ended(), ended()).sentence == "int4 loses 0 problems; it gains 0."


def test_several_answers_a_problem_are_counted_and_not_told_as_lost() -> None:
    found = of_two(task_result(range(5), 10, per_problem=3), task_result(range(4), 10, per_problem=3))
    assert found.endings == {Ending.PASSED: 12, Ending.WRONG: 18}
    assert found.sentence is None


def test_totals_alone_have_no_anatomy() -> None:
    assert anatomies(read_results(reference_totals(), "fp16")) == ()
