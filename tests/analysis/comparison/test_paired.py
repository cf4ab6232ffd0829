import pytest

from quantbench.analysis.comparison.paired import Change, PairedScore, paired_scores
from quantbench.analysis.comparison.rows import read_results
from quantbench.records import Outcome, TaskResult
from tests.report_records import full_record, reference_records, reference_totals, task_result


def pairs_of(*solved: object) -> tuple[PairedScore, ...]:
    """fp16 and one method for each further set of solved problems."""
    names = ("fp16", "int8", "int4")
    records = [full_record(name, 1.0, 40.0, 1.0, s) for name, s in zip(names, solved, strict=False)]
    return paired_scores(read_results(records, "fp16"))


def test_discordant_problems_are_counted_both_ways() -> None:
    pairs = paired_scores(read_results(reference_records(), "fp16"))
    assert [(pair.label, pair.gained, pair.lost) for pair in pairs] == [("int8", 5, 10), ("int4", 10, 21)]


def test_reference_scores_cannot_be_told_apart() -> None:
    pairs = paired_scores(read_results(reference_records(), "fp16"))
    assert {pair.change for pair in pairs} == {Change.UNDECIDED}


def test_difference_is_that_of_pass_at_1_with_an_interval_around_it() -> None:
    (pair,) = pairs_of(range(57), range(47))
    assert pair.difference == pytest.approx(-10 / 164)
    assert pair.interval is not None
    assert pair.interval.low < -10 / 164 < pair.interval.high < 0


def test_ten_lost_and_none_won_is_worse() -> None:
    (pair,) = pairs_of(range(57), range(47))
    assert pair.change is Change.WORSE


def test_ten_won_and_none_lost_is_better() -> None:
    (pair,) = pairs_of(range(47), range(57))
    assert pair.change is Change.BETTER


def test_a_difference_that_counts_alone_may_not_count_among_several() -> None:
    pairs = pairs_of(range(57), range(51), range(57))
    assert pairs[0].p < 0.05 < pairs[0].adjusted_p
    assert pairs[0].change is Change.UNDECIDED and pairs[0].only_alone


def test_smallest_detectable_difference_is_larger_than_what_went_unnoticed() -> None:
    pair = paired_scores(read_results(reference_records(), "fp16"))[0]
    assert pair.detectable is not None
    assert pair.detectable > abs(pair.difference)


def test_totals_without_single_outcomes_are_not_paired() -> None:
    assert paired_scores(read_results(reference_totals(), "fp16")) == ()


def test_several_completions_a_problem_are_compared_by_their_rates() -> None:
    (pair,) = pairs_of(task_result(range(57), per_problem=4), task_result(range(47), per_problem=4))
    assert pair.interval is not None and pair.interval.contains(-10 / 164)
    assert (pair.gained, pair.lost) == (0, 10)


def several(rates: dict[int, int], per_problem: int = 4) -> TaskResult:
    """164 problems with 4 completions each; `rates` says how many of a problem's completions pass."""
    result = task_result((), per_problem=per_problem)
    completions = tuple(
        completion.model_copy(
            update={"outcome": Outcome.PASSED}
            if completion.sample < rates.get(int(completion.task_id.split("/")[1]), 0)
            else {}
        )
        for completion in result.completions
    )
    return result.model_copy(update={"completions": completions})


OUTRIGHT = dict.fromkeys(range(25), 4)
SLIGHTLY = dict.fromkeys(range(25, 55), 1)


def test_problems_lost_outright_are_not_outvoted_by_as_many_slightly_better_ones() -> None:
    (pair,) = pairs_of(several(OUTRIGHT), several(SLIGHTLY))
    assert (pair.gained, pair.lost) == (30, 25)
    assert pair.change is Change.WORSE


def test_the_test_of_several_completions_is_named_as_what_it_is() -> None:
    (pair,) = pairs_of(several(OUTRIGHT), several(SLIGHTLY))
    assert pair.test == "exact paired permutation"


def test_detectable_difference_of_rates_comes_from_their_scatter() -> None:
    little = pairs_of(several(SLIGHTLY), several(dict.fromkeys(range(26, 56), 1)))[0].detectable
    much = pairs_of(several(OUTRIGHT), several(dict.fromkeys(range(1, 26), 4)))[0].detectable
    assert little is not None and much is not None
    assert little == pytest.approx(much / 4)


def test_unequal_numbers_of_completions_are_compared_by_their_rates() -> None:
    (pair,) = pairs_of(several({1: 2}, per_problem=4), several({1: 1}, per_problem=2))
    assert (pair.gained, pair.lost, pair.p) == (0, 0, 1.0)


def test_smallest_detectable_differences_are_told_for_other_numbers_of_answers() -> None:
    (pair,) = pairs_of(several(OUTRIGHT | SLIGHTLY), several(SLIGHTLY))
    assert list(pair.by_answers) == [1, 4, 5, 20]
    assert pair.by_answers[4] == pytest.approx(pair.detectable)
    assert pair.by_answers[1] > pair.by_answers[20]


def test_one_answer_a_problem_foretells_nothing() -> None:
    assert paired_scores(read_results(reference_records(), "fp16"))[0].by_answers == {}
