"""Scores of two methods: paired by problem, or as two shares; significant, not significant, undecided."""

import pytest

from quantbench.analysis.comparison.comparisons import Comparison, Verdict
from quantbench.analysis.comparison.score_tests import compare_scores, difference_interval, score_key
from quantbench.analysis.figures.row import Row, read_row
from quantbench.records import TaskResult
from tests.report_records import record, task_result


def row(label: str, **sections: object) -> Row:
    return read_row(record(label, **sections), is_baseline=label == "fp16")


def compared(task: str, one: Row, other: Row) -> Comparison:
    return compare_scores([one, other]).get(score_key(task), one.label, other.label)


def scored(label: str, result: TaskResult) -> Row:
    return row(label, tasks=(result,))


def test_six_problems_lost_and_none_won_are_a_real_difference() -> None:
    verdict = compared(
        "humaneval", scored("fp16", task_result(range(57))), scored("int4", task_result(range(51)))
    )
    assert verdict.verdict is Verdict.SIGNIFICANT
    assert "fp16 alone solves 6 and int4 alone 0, exact McNemar p = 0.031" in verdict.why


def test_five_problems_lost_and_none_won_cannot_be_told_apart() -> None:
    verdict = compared(
        "humaneval", scored("fp16", task_result(range(57))), scored("int4", task_result(range(52)))
    )
    assert verdict.verdict is Verdict.NOT_SIGNIFICANT


def test_other_problems_are_compared_unpaired_and_it_is_said() -> None:
    one = scored("fp16", task_result(range(57)))
    other = scored("int4", task_result(range(40), 100))
    assert "unpaired" in compared("humaneval", one, other).why


def test_totals_alone_are_compared_unpaired() -> None:
    one = scored("fp16", task_result((), passed=57, completions=()))
    other = scored("int4", task_result((), passed=46, completions=()))
    verdict = compared("humaneval", one, other)
    assert verdict.verdict is Verdict.NOT_SIGNIFICANT
    assert "unpaired" in verdict.why
    assert "n = 164" in verdict.why


def test_a_large_unpaired_difference_is_real() -> None:
    one = scored("fp16", task_result((), passed=57, completions=()))
    other = scored("int4", task_result((), passed=10, completions=()))
    assert compared("humaneval", one, other).verdict is Verdict.SIGNIFICANT


def test_a_missing_score_is_not_known_to_differ() -> None:
    verdict = compared("humaneval", row("fp16"), scored("int4", task_result(range(3))))
    assert verdict.verdict is Verdict.UNDECIDED


def test_the_unpaired_interval_is_newcombes() -> None:
    # Newcombe 1998, Statistics in Medicine 17:873, table II, method 10: 56/70 against 48/80.
    one = scored("a", task_result((), passed=56, problems=70, completions=())).scores[0]
    other = scored("b", task_result((), passed=48, problems=80, completions=())).scores[0]
    gap = difference_interval(one, other)
    assert (gap.low, gap.high) == pytest.approx((0.0524, 0.3339), abs=5e-5)


def test_comparisons_between_two_other_methods_are_corrected_as_well() -> None:
    rows = [scored("fp16", task_result(range(57)))]
    rows += [scored(name, task_result(range(count))) for name, count in (("int8", 57), ("int4", 51))]
    found = compare_scores(rows).get(score_key("humaneval"), "int8", "int4")
    assert (found.p, found.adjusted_p) == (pytest.approx(0.03125), pytest.approx(3 * 0.03125))
    assert found.verdict is Verdict.NOT_SIGNIFICANT
