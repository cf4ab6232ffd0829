"""A destroyed method never wins: what is proven lost, what is tolerated, and what is only in doubt."""

import pytest

from quantbench.analysis import analyse
from quantbench.analysis.comparison.losses import losses_of
from quantbench.analysis.comparison.rows import read_results
from quantbench.analysis.findings.statement import Statement
from quantbench.analysis.findings.use_cases import (
    BALANCE,
    LATENCY,
    QUALITY,
    RESOURCES,
    recommend_for_use_cases,
)
from quantbench.analysis.recommend import Choice, Requirements, choose
from quantbench.records import Record
from tests.analysis.distances import baseline_distance, make_distance
from tests.report_records import failed, full_record, record, reference_records, task_result


def real_qwen() -> list[Record]:
    """What a real 0.5B model gave: 73, 71, 60 and 40 of 164, nested, and smaller is faster."""
    return [
        full_record("fp16", 1.0, 20.0, 1.2, range(73)),
        full_record("int8", 0.5, 35.0, 0.8, range(71)),
        full_record("int4", 0.28, 60.0, 0.5, range(60)),
        full_record("int4-rtn", 0.25, 61.0, 0.45, range(40)),
    ]


def destroyed() -> list[Record]:
    """int4 solves nothing, is the smallest and by far the fastest."""
    return [
        full_record("fp16", 1.0, 20.0, 1.2, range(100)),
        full_record("int4", 0.25, 60.0, 0.5, ()),
    ]


def recommendations(records: list[Record], baseline: str = "fp16") -> dict[str, Statement]:
    return {s.title: s for s in recommend_for_use_cases(read_results(records, baseline))}


@pytest.mark.parametrize("use_case", [BALANCE, RESOURCES, QUALITY, LATENCY])
def test_a_destroyed_method_is_recommended_for_nothing(use_case: str) -> None:
    assert recommendations(destroyed())[use_case].choice == "fp16"


@pytest.mark.parametrize("use_case", [BALANCE, RESOURCES, LATENCY])
def test_a_proven_loss_beyond_the_tolerance_does_not_win(use_case: str) -> None:
    assert recommendations(real_qwen())[use_case].choice == "int8"


def test_the_method_that_would_win_but_for_its_loss_is_named_with_it() -> None:
    text = recommendations(real_qwen())[RESOURCES].text
    assert "int4-rtn would come first, but a proven loss must leave a recovery of 0.9" in text
    assert "int4-rtn keeps 0.55 of fp16's HumanEval pass@1 (40 against 73 of 164)" in text


def test_a_proven_loss_within_the_tolerance_wins_and_is_said() -> None:
    records = [full_record("fp16", 1, 20, 1, range(150)), full_record("int8", 0.5, 40, 0.5, range(140))]
    statement = recommendations(records)[RESOURCES]
    assert statement.choice == "int8"
    assert "loss is proven and tolerated: int8 keeps 0.93" in statement.text


def test_a_large_loss_that_is_not_proven_is_said_to_be_in_doubt() -> None:
    statement = recommendations(reference_records())[RESOURCES]
    assert statement.choice == "int4"
    assert "A loss is not ruled out: int4 keeps 0.81 of fp16's" in statement.text


def test_a_destroyed_method_wins_nothing_when_the_baseline_failed_either() -> None:
    records = [
        failed(full_record("fp16", 1, 20, 1, range(100))),
        full_record("int8", 0.5, 30, 0.8, range(100)),
        full_record("int4", 0.25, 60, 0.5, ()),
    ]
    found = recommendations(records)
    assert {found[use_case].choice for use_case in (BALANCE, RESOURCES, QUALITY, LATENCY)} == {"int8"}


def test_a_leader_alone_without_a_baseline_is_no_crash() -> None:
    records = [full_record("int8", 0.5, 30, 0.8, range(100)), full_record("int4", 0.25, 60, 0.5, ())]
    assert recommendations(records)[QUALITY].text.startswith("int8: highest HumanEval pass@1 0.610")


def nothing_solved() -> list[Record]:
    return [full_record("fp16", 1, 20, 1, ()), full_record("int4", 0.25, 60, 0.5, ())]


def test_where_nobody_solved_anything_no_quality_is_recommended() -> None:
    statement = recommendations(nothing_solved())[QUALITY]
    assert statement.choice is None
    assert "no method solved a single problem" in statement.text


def test_where_nobody_solved_anything_other_choices_say_that_quality_is_not_known() -> None:
    assert "What it costs in quality is not known" in recommendations(nothing_solved())[RESOURCES].text


def test_the_first_task_on_which_anything_was_solved_decides() -> None:
    def both(name: str, solved: int) -> Record:
        easy = task_result(range(solved), 20, task="quickeval")
        return record(name, tasks=(task_result(()), easy))

    assert recommendations([both("fp16", 19), both("int4", 3)])[QUALITY].choice == "fp16"


@pytest.mark.parametrize(("loss", "refused"), [(1.02, False), (2.5, True)])
def test_perplexity_stands_in_where_no_score_can_tell(loss: float, refused: bool) -> None:
    own = (baseline_distance(), make_distance([0.01] * 20, loss=loss))
    records = [r.model_copy(update={"distance": d}) for r, d in zip(nothing_solved(), own, strict=True)]
    assert recommendations(records)[RESOURCES].choice == ("fp16" if refused else "int4")


def test_a_destroyed_method_wins_under_no_weighting() -> None:
    weightings = analyse(real_qwen(), "fp16").weightings
    assert weightings is not None
    assert {label for label, _ in weightings.shares} == {"fp16", "int8"}
    assert weightings.refused == ("int4", "int4-rtn")


def test_the_reference_loses_nothing_against_itself() -> None:
    results = read_results(real_qwen(), "fp16")
    assert losses_of(results.rows[0], results) == ()


def recommended(records: list[Record], **limits: float) -> Choice:
    return choose(read_results(records, "fp16"), Requirements(**limits))  # type: ignore[arg-type]


def test_recommend_without_limits_looks_at_quality() -> None:
    assert recommended(real_qwen()).label == "int8"


def test_recommend_says_how_a_lossy_method_can_be_taken_all_the_same() -> None:
    choice = recommended(real_qwen(), max_memory_bytes=600_000_000)
    assert choice.label is None
    assert "but for a proven loss int4 and int4-rtn would: --min-recovery" in choice.reason


def test_a_recovery_that_is_asked_for_replaces_the_tolerance() -> None:
    assert recommended(real_qwen(), min_recovery=0.8, max_memory_bytes=600_000_000).label == "int4"


def test_a_limit_that_is_met_only_in_doubt_says_so() -> None:
    choice = recommended(reference_records(), min_recovery=0.91, max_memory_bytes=1_000_000_000)
    assert choice.label == "int8"
    assert "only in doubt: recovery on humaneval 0.91 ≥ 0.91" in choice.reason


def test_recommend_without_a_task_says_that_quality_is_not_known() -> None:
    records = [r.model_copy(update={"tasks": ()}) for r in reference_records()]
    assert "what it costs in quality is not known" in recommended(records).reason
