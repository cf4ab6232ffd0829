"""`quantbench score` from the file to the figures."""

import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from quantbench.commands import score
from quantbench.errors import TaskError, UsageError
from quantbench.output import Output
from quantbench.settings import read_settings
from quantbench.settings.commands import ScoreSettings
from tests.evaluation.conftest import write_lines

Write = Callable[..., Path]
RIGHT = [
    {"task_id": "Own/0", "completion": "    return sum(numbers)\n"},
    {"task_id": "Own/1", "completion": "    return x / 2\n"},
]


def scored(
    samples: Path, task_data: Path, *, status: int = 0, **options: Any
) -> tuple[str, str, list[dict[str, Any]]]:
    """What is printed, what is noted, and the results file."""
    out, err = StringIO(), StringIO()
    settings = ScoreSettings(samples=samples, task_data=str(task_data), workers=1, **options)
    assert score(settings, Output(Console(file=out, width=200)), Console(file=err, width=200)) == status
    results = Path(f"{samples}_results.jsonl").read_text().splitlines()
    return out.getvalue(), err.getvalue(), [json.loads(line) for line in results]


def test_exactly_half_passing_gives_one_half(sample_file: Write, task_file: Path) -> None:
    wrong = {"task_id": "Own/1", "completion": "    return x\n"}
    printed, _, results = scored(sample_file(RIGHT[0], wrong), task_file)
    assert "0.5000" in printed
    assert [row["passed"] for row in results] == [True, False]


def test_results_have_the_official_fields_and_keep_the_samples_own(
    sample_file: Write, task_file: Path
) -> None:
    _, _, results = scored(sample_file(RIGHT[0] | {"temperature": 0.2}, RIGHT[1]), task_file)
    expected = RIGHT[0] | {"temperature": 0.2, "result": "passed", "passed": True}
    assert results[0] == expected


def test_a_failure_says_why(sample_file: Write, task_file: Path) -> None:
    samples = sample_file({"task_id": "Own/0", "completion": "    return 1 / 0\n"}, RIGHT[1])
    _, _, results = scored(samples, task_file)
    assert results[0]["result"] == "failed: ZeroDivisionError: division by zero"


def test_the_mode_of_the_sandbox_is_shown(sample_file: Write, task_file: Path) -> None:
    printed, _, _ = scored(sample_file(*RIGHT), task_file, unsafe_no_sandbox=True)
    assert "sandbox mode 'unsafe-no-sandbox'" in printed


def test_damage_is_noted_and_the_rest_is_scored(sample_file: Write, task_file: Path) -> None:
    printed, noted, results = scored(sample_file("{", *RIGHT), task_file, status=1)
    assert "line 1 is left out" in noted
    assert len(results) == 2 and "1.0000" in printed


def test_plus_inputs_find_what_base_inputs_do_not(sample_file: Write, plus_file: Path) -> None:
    abs_sum = {"task_id": "Own/0", "completion": "    return abs(sum(numbers))\n"}
    printed, _, results = scored(sample_file(abs_sum, RIGHT[1]), plus_file)
    verdicts = [(row["passed"], row["plus_passed"]) for row in results]
    assert verdicts == [(True, False), (True, True)]
    assert "base + plus" in printed and "0.5000" in printed


def test_a_failed_base_is_a_failed_plus(sample_file: Write, plus_file: Path) -> None:
    _, _, results = scored(
        sample_file({"task_id": "Own/0", "completion": "    return 3\n"}, RIGHT[1]), plus_file
    )
    assert (results[0]["passed"], results[0]["plus_passed"]) == (False, False)


def with_fields(plus_file: Path, number: int, **fields: Any) -> Path:
    """The file with one problem's fields changed; None takes a field away."""
    rows = [json.loads(line) for line in plus_file.read_text().splitlines()]
    rows[number] = {name: value for name, value in (rows[number] | fields).items() if value is not None}
    return write_lines(plus_file, rows)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"canonical_solution": "    return missing\n"}, "its reference ended as failed (NameError"),
        ({"canonical_solution": "    return (\n"}, "its reference ended as failed (SyntaxError"),
        ({"atol": "1e-6"}, "its atol is not a number"),
        ({"atol": -1}, "its atol is not a number"),
        ({"atol": float("nan")}, "its atol is not a number"),
        ({"base_input": 3}, "its base_input is not a list"),
        ({"base_input": None}, "its base_input is not a list"),
        ({"plus_input": [1]}, "its plus_input is not a list"),
    ],
)
def test_a_damaged_problem_is_named_and_the_others_are_scored(
    sample_file: Write, plus_file: Path, fields: dict[str, Any], reason: str
) -> None:
    damaged = with_fields(plus_file, 0, **fields)
    printed, noted, results = scored(sample_file(*RIGHT), damaged, status=1)
    assert f"Own/0 is left out: {reason}" in noted
    assert [row["task_id"] for row in results] == ["Own/1"] and "1.0000" in printed


def test_problems_that_are_all_damaged_are_an_error(sample_file: Write, plus_file: Path) -> None:
    with pytest.raises(TaskError, match=r"no problem can be scored; Own/0: its atol"):
        scored(sample_file(RIGHT[0]), with_fields(plus_file, 0, atol="much"))


@pytest.mark.parametrize("inputs", ["base_input", "plus_input"])
def test_an_empty_list_of_inputs_is_passed(sample_file: Write, plus_file: Path, inputs: str) -> None:
    _, _, results = scored(sample_file(*RIGHT), with_fields(plus_file, 0, **{inputs: []}))
    assert (results[0]["passed"], results[0]["plus_passed"]) == (True, True)


def test_without_any_input_a_program_must_still_define_its_function(
    sample_file: Write, plus_file: Path
) -> None:
    file = with_fields(plus_file, 0, base_input=[], plus_input=[])
    _, _, results = scored(sample_file({"task_id": "Own/0", "completion": "    return (\n"}, RIGHT[1]), file)
    assert [row["plus_passed"] for row in results] == [False, True]


def test_a_file_of_inputs_needs_no_tests(sample_file: Write, plus_file: Path) -> None:
    _, _, results = scored(sample_file(*RIGHT), with_fields(plus_file, 0, test=None))
    assert [row["plus_passed"] for row in results] == [True, True]


def test_a_finite_answer_is_not_an_infinite_reference(sample_file: Write, plus_file: Path) -> None:
    solution = "    return float('inf') if x < 0 else x / 2\n"
    file = with_fields(plus_file, 1, canonical_solution=solution)
    _, _, results = scored(sample_file(*RIGHT), file)
    assert (results[1]["passed"], results[1]["plus_passed"]) == (True, False)


def test_inputs_of_the_file_in_the_environment_are_tried(
    sample_file: Write, plus_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUMANEVAL_OVERRIDE_PATH", str(plus_file))
    settings = ScoreSettings(samples=sample_file(*RIGHT), workers=1)
    assert score(settings, Output(Console(file=StringIO())), Console(file=StringIO())) == 0
    assert '"plus_passed": true' in settings.results.read_text()


def test_a_broken_test_is_named_and_the_others_are_scored(sample_file: Write, task_file: Path) -> None:
    broken = with_fields(task_file, 0, test="import no_such_module\n")
    _, noted, results = scored(sample_file(*RIGHT), broken, status=1)
    assert "the tests of 1 problems are broken, all their samples fail: Own/0" in noted
    assert [row["passed"] for row in results] == [False, True]


def test_problems_without_samples_are_told_by_the_exit_status(sample_file: Write, task_file: Path) -> None:
    _, noted, _ = scored(sample_file(RIGHT[0]), task_file, status=1)
    assert "1 of 2 problems have no sample" in noted


def test_verdicts_go_to_the_file_that_is_named(sample_file: Write, task_file: Path, tmp_path: Path) -> None:
    settings = ScoreSettings(
        samples=sample_file(*RIGHT), task_data=str(task_file), output=tmp_path / "here.jsonl", workers=1
    )
    score(settings, Output(Console(file=StringIO())), Console(file=StringIO()))
    assert len((tmp_path / "here.jsonl").read_text().splitlines()) == 2


def test_a_place_that_cannot_be_written_is_named_before_anything_runs(
    sample_file: Write, task_file: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="--output"):
        scored(sample_file(*RIGHT), task_file, output=tmp_path / "none" / "here.jsonl")


def test_too_few_samples_for_k_are_named_before_anything_runs(sample_file: Write, task_file: Path) -> None:
    with pytest.raises(UsageError, match=r"pass@2 needs .* Own/0 has 1"):
        scored(sample_file(*RIGHT), task_file, k=(2,))


def test_ks_are_whole_numbers() -> None:
    assert read_settings(ScoreSettings, {"samples": "s", "k": "1,10"}).k == (1, 10)
    with pytest.raises(UsageError, match="--k must be at least 1"):
        read_settings(ScoreSettings, {"samples": "s", "k": "0"})
