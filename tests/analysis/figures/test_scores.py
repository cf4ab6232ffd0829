"""Scores from outcomes."""

import pytest

from quantbench.analysis.figures.scores import read_score, task_title
from quantbench.records import Completion, Outcome
from quantbench.stats import pass_at_k, wilson_interval
from tests.report_records import task_result


def test_passed_and_total_count_completions() -> None:
    score = read_score(task_result(range(57)))
    assert score is not None
    assert (score.passed, score.total, score.problems) == (57, 164, 164)


def test_the_interval_is_wilsons() -> None:
    score = read_score(task_result(range(57)))
    assert score is not None
    assert score.interval == wilson_interval(57, 164)


def test_a_result_without_outcomes_but_with_a_total_is_a_score_without_rates() -> None:
    score = read_score(task_result((), passed=57, completions=()))
    assert score is not None
    assert score.pass_at_1 == pytest.approx(57 / 164)
    assert score.rates is None


def test_a_result_without_outcomes_and_total_is_no_score() -> None:
    assert read_score(task_result((), completions=())) is None


def completions(outcomes: dict[str, list[bool]]) -> tuple[Completion, ...]:
    return tuple(
        Completion(
            task_id=problem,
            sample=sample,
            outcome=Outcome.PASSED if passed else Outcome.TIMED_OUT,
            finish_reason="length",
            tokens=5,
        )
        for problem, row in outcomes.items()
        for sample, passed in enumerate(row)
    )


def test_pass_at_k_is_the_mean_of_the_unbiased_estimate_over_problems() -> None:
    rows = completions({"a": [True, False, False], "b": [False, False, False]})
    score = read_score(task_result((), completions=rows))
    assert score is not None
    assert score.pass_at == {3: pytest.approx((pass_at_k(3, 1, 3) + 0.0) / 2)}


def test_pass_at_1_of_several_completions_is_the_mean_over_problems() -> None:
    rows = completions({"a": [True, False, False], "b": [True, True, True]})
    score = read_score(task_result((), completions=rows))
    assert score is not None
    assert score.pass_at_1 == pytest.approx((1 / 3 + 1) / 2)


def test_the_interval_of_several_completions_counts_problems_not_completions() -> None:
    rows = completions({str(n): [n < 5] * 10 for n in range(20)})
    score = read_score(task_result((), completions=rows))
    assert score is not None
    assert score.interval == wilson_interval(5, 20)


def test_completions_that_met_the_length_limit_are_counted() -> None:
    score = read_score(task_result((), completions=completions({"a": [True, False]})))
    assert score is not None
    assert score.cut == 2


@pytest.mark.parametrize(("task", "title"), [("humaneval", "HumanEval"), ("quickeval", "quickeval")])
def test_only_humaneval_is_called_humaneval(task: str, title: str) -> None:
    assert task_title(task) == title
