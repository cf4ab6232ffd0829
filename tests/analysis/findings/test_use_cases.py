"""The four recommendations; the reference report's own figures must give the reference's choices."""

import pytest

from quantbench.analysis.comparison.rows import read_results
from quantbench.analysis.findings.statement import Statement
from quantbench.analysis.findings.use_cases import (
    BALANCE,
    LATENCY,
    QUALITY,
    RESOURCES,
    recommend_for_use_cases,
)
from quantbench.records import Record
from tests.report_records import (
    failed,
    full_record,
    record,
    reference_records,
    reference_totals,
    speed_point,
    task_result,
)


def recommendations(records: list[Record], baseline: str = "fp16") -> dict[str, Statement]:
    return {s.title: s for s in recommend_for_use_cases(read_results(records, baseline))}


@pytest.mark.parametrize("records", [reference_records(), reference_totals()])
@pytest.mark.parametrize(
    ("use_case", "choice"), [(BALANCE, "fp16"), (RESOURCES, "int4"), (QUALITY, "fp16"), (LATENCY, "fp16")]
)
def test_the_references_figures_give_the_references_choices(
    records: list[Record], use_case: str, choice: str
) -> None:
    assert recommendations(records)[use_case].choice == choice


@pytest.mark.parametrize("records", [reference_records(), reference_totals()])
def test_the_references_scores_cannot_be_told_apart_at_164_problems(records: list[Record]) -> None:
    statement = recommendations(records)[QUALITY]
    assert set(statement.tied) == {"int8", "int4"}
    assert "n = 164" in statement.text
    assert "not significantly different" in statement.text


def test_the_balance_says_what_becomes_of_it_without_parts_inside_the_noise() -> None:
    text = recommendations(reference_records())[BALANCE].text
    assert "No difference in pass@1 is shown" in text
    assert "fp16, int8 and int4 come out equal" in text


def test_the_baseline_is_kept_when_a_better_figure_is_inside_the_noise() -> None:
    records = [full_record("fp16", 1, 40, 1, range(57)), full_record("int8", 0.5, 40, 1, range(60))]
    statement = recommendations(records)[QUALITY]
    assert statement.choice == "fp16"
    assert statement.tied == ("int8",)


def test_a_method_that_is_really_better_than_the_baseline_is_named() -> None:
    records = [full_record("fp16", 1, 40, 1, range(57)), full_record("int8", 0.5, 40, 1, range(70))]
    assert recommendations(records)[QUALITY].choice == "int8"


def test_a_second_task_can_speak_against_a_method_that_ties_on_the_first() -> None:
    def two_tasks(name: str, solved: int) -> Record:
        quick = task_result(range(solved), 20, task="quickeval")
        return record(name, tasks=(task_result(range(57)), quick))

    statement = recommendations([two_tasks("fp16", 20), two_tasks("int4", 10)])[QUALITY]
    assert statement.tied == ()
    assert "On quickeval pass@1 int4 is significantly worse than fp16" in statement.text


def test_latency_chooses_the_smallest_of_those_that_cannot_be_told_apart() -> None:
    records = [full_record("fp16", 1, 40.0, 1, ()), full_record("int8", 0.5, 39.99, 1, ())]
    statement = recommendations(records)[LATENCY]
    assert statement.choice == "int8"
    assert statement.tied == ("fp16",)


def test_latency_counts_the_prompt_as_well_as_the_tokens() -> None:
    slow_start = record("fp16", speed=(speed_point(100.0, ttft_s=9.0),))
    records = [slow_start, record("int8", speed=(speed_point(90.0, ttft_s=0.1),))]
    assert recommendations(records)[LATENCY].choice == "int8"


def test_speeds_measured_once_leave_latency_in_doubt() -> None:
    records = [
        record("fp16", speed=(speed_point(40.0, spread=(1.0,)),)),
        record("int8", speed=(speed_point(32.0, spread=(1.0,)),)),
    ]
    statement = recommendations(records)[LATENCY]
    assert statement.choice == "fp16"
    assert "not decided" in statement.text


def test_size_alone_decides_about_resources_when_a_memory_is_missing() -> None:
    records = reference_records()
    records[0] = records[0].model_copy(update={"memory": None})
    statement = recommendations(records)[RESOURCES]
    assert statement.choice == "int4"
    assert "size alone decides" in statement.text


def test_a_smaller_method_that_needs_more_memory_is_named_with_its_rival() -> None:
    records = [full_record("int4", 0.25, 28, 0.9, ()), full_record("int8", 0.5, 32, 0.8, ())]
    statement = recommendations(records)[RESOURCES]
    assert statement.choice == "int4"
    assert "int8 needs less memory" in statement.text


@pytest.mark.parametrize("use_case", [BALANCE, RESOURCES, QUALITY, LATENCY])
def test_one_method_is_recommended_for_nothing(use_case: str) -> None:
    statement = recommendations(reference_records()[:1])[use_case]
    assert statement.choice is None
    assert statement.text.startswith("no recommendation")


@pytest.mark.parametrize("use_case", [BALANCE, RESOURCES, QUALITY, LATENCY])
def test_failures_alone_recommend_nothing(use_case: str) -> None:
    assert recommendations([failed(r) for r in reference_records()])[use_case].choice is None


def test_quality_needs_a_task() -> None:
    records = [r.model_copy(update={"tasks": ()}) for r in reference_records()]
    assert recommendations(records)[QUALITY].choice is None


def test_the_balance_without_tasks_is_that_of_size_and_speed() -> None:
    records = [r.model_copy(update={"tasks": ()}) for r in reference_records()]
    assert "highest mean of size and speed," in recommendations(records)[BALANCE].text


def test_the_best_score_is_named_when_the_baseline_failed() -> None:
    records = [failed(reference_records()[0]), *reference_records()[1:]]
    statement = recommendations(records)[QUALITY]
    assert statement.choice == "int8"
    assert statement.tied == ("int4",)


def test_the_best_of_many_methods_must_beat_the_baseline_after_correction() -> None:
    better = [full_record(f"m{number}", 0.5, 32, 1, range(63)) for number in range(3)]
    statement = recommendations([full_record("fp16", 1, 40, 1, range(57)), *better])[QUALITY]
    assert statement.choice == "fp16"
    assert set(statement.tied) == {"m0", "m1", "m2"}


def test_a_method_that_differs_by_noise_alone_ties_with_the_best_balance() -> None:
    records = [
        full_record("fp16", 1, 40.0, 1, range(57)),
        full_record("bf16", 1, 40.05, 1, range(58)),
        full_record("int4", 0.9, 20.0, 1, range(20)),
    ]
    statement = recommendations(records)[BALANCE]
    assert {statement.choice, *statement.tied} == {"fp16", "bf16"}
    assert "No part is shown to differ" in statement.text
