"""The head of the report: what each method buys and costs, and how sure that is."""

from quantbench.analysis import analyse
from quantbench.records import Record
from tests.report_records import full_record, reference_records


def sentences(records: list[Record]) -> dict[str, str]:
    return {statement.title: statement.text for statement in analyse(records, "fp16").answer}


def with_score(solved: int) -> list[Record]:
    return [full_record("fp16", 1, 40, 1, range(57)), full_record("int4", 0.25, 28, 0.5, range(solved))]


def test_each_method_beside_the_baseline_has_a_sentence() -> None:
    assert list(sentences(reference_records())) == ["int8", "int4"]


def test_a_proven_loss_is_said_with_its_points_counts_and_interval() -> None:
    text = sentences(with_score(40))["int4"]
    assert "loses 10.4 points of HumanEval pass@1, proven (40 against 57 of 164, between −" in text


def test_an_unproven_loss_is_no_loss_and_no_equality() -> None:
    text = sentences(with_score(55))["int4"]
    assert "no change of HumanEval pass@1 shown (55 against 57 of 164, between −" in text


def test_an_interval_beside_zero_that_correction_takes_back_is_explained() -> None:
    assert "is not significant when corrected for all comparisons" in sentences(reference_records())["int4"]


def test_a_gain_is_called_a_gain() -> None:
    assert "gains 12.2 points of HumanEval pass@1, proven" in sentences(with_score(77))["int4"]


def test_a_task_that_nobody_solved_tells_nothing() -> None:
    records = [full_record("fp16", 1, 40, 1, ()), full_record("int4", 0.25, 28, 1, ())]
    assert "HumanEval tells nothing, as neither solved a problem" in sentences(records)["int4"]


def test_quality_that_was_not_measured_is_said() -> None:
    records = [record.model_copy(update={"tasks": ()}) for record in reference_records()]
    assert sentences(records)["int8"].endswith("what it costs in quality was not measured.")


def test_a_speed_that_is_missing_is_said() -> None:
    records = [record.model_copy(update={"speed": ()}) for record in reference_records()]
    assert (
        "0.50× the size and 0.67× the memory of fp16; speed not measured for both;"
        in (sentences(records)["int8"])
    )


def test_of_many_methods_the_recommended_ones_are_kept_and_the_others_named() -> None:
    records = [full_record("fp16", 1, 40, 1, range(57))]
    records += [full_record(f"m{i}", 0.9 - i / 20, 41 + i, 0.9, range(57)) for i in range(9)]
    found = sentences(records)
    assert len(found) == 6
    assert "m8" in found
    assert found["Also measured"].endswith("their figures are below.")


def test_without_a_baseline_there_is_nothing_to_set_against() -> None:
    assert sentences(reference_records()[1:]) == {}
