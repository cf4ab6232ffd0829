"""What the figures cannot tell."""

from quantbench.analysis.comparison.rows import read_results
from quantbench.analysis.findings.caveats import caveats_of, fewest_discordant
from quantbench.records import Environment, Memory, Record
from tests.report_records import (
    ENVIRONMENT,
    MODEL,
    other_trial,
    record,
    reference_records,
    speed_point,
    task_result,
)


def limits(records: list[Record]) -> str:
    return "\n".join(caveats_of(read_results(records, "fp16")))


def test_six_problems_to_none_are_the_fewest_that_count() -> None:
    assert fewest_discordant() == 6


def test_a_rerun_whose_baseline_is_gone_belongs_to_no_machine() -> None:
    assert "belong to" not in limits([other_trial(record("fp16"), role="floor")])


def test_the_precision_of_a_score_is_stated_in_points() -> None:
    assert "known to about ±7.2 points" in limits(reference_records())


def test_without_a_task_nothing_is_said_to_be_known_about_quality() -> None:
    assert "nothing here says what quantizing costs in quality" in limits([record("fp16")])


def test_a_task_of_our_own_is_not_comparable_with_published_figures() -> None:
    text = limits([record("fp16", tasks=(task_result(range(3), 10, task="quickeval"),))])
    assert "quickeval scores cannot be compared with published figures" in text


def test_the_models_note_is_repeated() -> None:
    text = limits([record("fp16", model=MODEL.model_copy(update={"note": "random weights"}))])
    assert "About the model: random weights." in text


def test_too_few_repetitions_are_admitted() -> None:
    text = limits([record("fp16", speed=(speed_point(40.0, spread=(1.0, 1.1)),))])
    assert "fewer than six passes" in text


def test_a_resident_set_is_said_to_include_the_libraries() -> None:
    text = limits([record("fp16", device="cpu", memory=Memory(kind="cpu", process_bytes=1))])
    assert "Python and its libraries included" in text


def test_methods_of_different_machines_are_not_comparable() -> None:
    other: Environment = ENVIRONMENT.model_copy(update={"gpu": "Other GPU"})
    text = limits([record("fp16"), record("int8", environment=other)])
    assert "ran on different machines" in text


def test_one_process_each_is_said_not_to_know_how_processes_differ() -> None:
    one = [record("fp16", speed=(speed_point(40.0, passes=1),))]
    assert "processes that drift by 8 % would show" in limits(one)


def test_several_rounds_need_no_such_warning() -> None:
    point = speed_point(40.0).model_copy(update={"round_of": (0, 0, 0, 0, 1, 1, 1, 1)})
    assert "--rounds" not in limits([record("fp16", speed=(point,))])
