"""Key observations: figures, ratios, and no winner inside the noise."""

from quantbench.analysis.comparison.rows import read_results
from quantbench.analysis.findings.observations import observe
from quantbench.analysis.findings.statement import Statement
from quantbench.analysis.findings.use_cases import recommend_for_use_cases
from quantbench.records import Record
from tests.report_records import failed, full_record, reference_records, reference_totals


def observations(records: list[Record], baseline: str = "fp16") -> dict[str, Statement]:
    return {statement.title: statement for statement in observe(read_results(records, baseline))}


HUMANEVAL = "Code generation, HumanEval pass@1"


def test_the_references_figures_name_the_references_leaders() -> None:
    found = observations(reference_records())
    leaders = [found[title].choice for title in ("Model size", "Inference speed", "Memory efficiency")]
    assert leaders == ["int4", "fp16", "int4"]


def test_a_leader_comes_with_its_figure_and_its_ratio_to_the_baseline() -> None:
    assert observations(reference_records())["Model size"].text.startswith(
        "int4 is the most compact: 0.25 GB, 0.25× fp16"
    )


def test_the_references_scores_have_no_winner_with_paired_outcomes() -> None:
    statement = observations(reference_records())[HUMANEVAL]
    assert statement.choice is None
    assert set(statement.tied) == {"fp16", "int8", "int4"}
    assert "p = " not in statement.text  # it stands in the table of paired outcomes, once


def test_the_references_scores_have_no_winner_with_totals_alone() -> None:
    statement = observations(reference_totals())[HUMANEVAL]
    assert statement.choice is None
    assert set(statement.tied) == {"fp16", "int8", "int4"}
    assert "unpaired" in statement.text


def test_a_real_difference_in_score_has_a_winner() -> None:
    records = [full_record("fp16", 1, 40, 1, range(57)), full_record("int4", 0.25, 28, 1, range(20))]
    statement = observations(records)[HUMANEVAL]
    assert statement.choice == "fp16"
    assert statement.text.startswith("fp16, the baseline, solves the most")


def test_speeds_inside_the_noise_have_no_winner() -> None:
    records = [full_record("fp16", 1, 40.0, 1, ()), full_record("int8", 0.5, 40.05, 1, ())]
    statement = observations(records)["Inference speed"]
    assert statement.choice is None
    assert statement.text.startswith("no winner")


def test_a_single_method_wins_nothing() -> None:
    statement = observations(reference_records()[:1])["Inference speed"]
    assert statement.choice is None
    assert statement.text == "only fp16 has a figure: 40.0 tokens/s."


def test_ratios_are_left_out_when_the_baseline_failed() -> None:
    records = [failed(reference_records()[0]), *reference_records()[1:]]
    assert "×" not in observations(records)["Model size"].text


def test_nothing_measured_gives_no_observation() -> None:
    assert observations([failed(record) for record in reference_records()]) == {}


def test_a_score_of_zero_for_the_baseline_gives_no_ratio() -> None:
    records = [full_record("fp16", 1, 40, 1, ()), full_record("int4", 0.25, 28, 1, range(10))]
    assert "×" not in observations(records)[HUMANEVAL].text


def test_several_comparisons_with_the_baseline_need_more_evidence_than_one() -> None:
    """Six lost problems are real against one method, not when two methods are tried."""
    pair = [full_record("fp16", 1, 40, 1, range(57)), full_record("int8", 0.5, 32, 1, range(51))]
    assert observations(pair)[HUMANEVAL].choice == "fp16"
    statement = observations([*pair, full_record("int4", 0.25, 28, 1, range(51))])[HUMANEVAL]
    assert statement.choice is None


def test_equal_scores_have_no_best_figure() -> None:
    records = reference_records()
    same = [record.model_copy(update={"tasks": records[0].tasks}) for record in records]
    assert observations(same)[HUMANEVAL].text == (
        "no winner: fp16, int8 and int4 have the same figure (0.348)."
    )
    (need,) = [s for s in recommend_for_use_cases(read_results(same, "fp16")) if "code quality" in s.title]
    assert need.choice == "fp16" and "int8 and int4 solved as many of 164 problems" in need.text
