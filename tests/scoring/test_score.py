"""`quantbench score` from the file to the figures."""

import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from quantbench.errors import TaskError, UsageError
from quantbench.scoring.score import ScoreSettings, read_ks, score

Write = Callable[..., Path]
RIGHT = [
    {"task_id": "Own/0", "completion": "    return sum(numbers)\n"},
    {"task_id": "Own/1", "completion": "    return x / 2\n"},
]


def scored(samples: Path, task_data: Path, **options: Any) -> tuple[str, str, list[dict[str, Any]]]:
    """What is printed, what is noted, and the results file."""
    out, err = StringIO(), StringIO()
    settings = ScoreSettings(samples=samples, task_data=str(task_data), workers=1, **options)
    assert score(settings, out=Console(file=out, width=200), err=Console(file=err, width=200)) == 0
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
    _, _, results = scored(sample_file({"task_id": "Own/0", "completion": "    return 1 / 0\n"}), task_file)
    assert results[0]["result"] == "failed: ZeroDivisionError: division by zero"


def test_the_mode_of_the_sandbox_is_shown(sample_file: Write, task_file: Path) -> None:
    printed, _, _ = scored(sample_file(*RIGHT), task_file, unsafe=True)
    assert "sandbox mode 'unsafe-no-sandbox'" in printed


def test_damage_is_noted_and_the_rest_is_scored(sample_file: Write, task_file: Path) -> None:
    printed, noted, results = scored(sample_file("{", *RIGHT), task_file)
    assert "line 1 is left out" in noted
    assert len(results) == 2 and "1.0000" in printed


def test_plus_inputs_find_what_base_inputs_do_not(sample_file: Write, plus_file: Path) -> None:
    abs_sum = {"task_id": "Own/0", "completion": "    return abs(sum(numbers))\n"}
    printed, _, results = scored(sample_file(abs_sum, RIGHT[1]), plus_file)
    verdicts = [(row["passed"], row["plus_passed"]) for row in results]
    assert verdicts == [(True, False), (True, True)]
    assert "base + plus" in printed and "0.5000" in printed


def test_a_failed_base_is_a_failed_plus(sample_file: Write, plus_file: Path) -> None:
    _, _, results = scored(sample_file({"task_id": "Own/0", "completion": "    return 3\n"}), plus_file)
    assert (results[0]["passed"], results[0]["plus_passed"]) == (False, False)


def test_a_reference_that_fails_is_an_error(sample_file: Write, plus_file: Path) -> None:
    damaged = plus_file.read_text().replace("return sum(numbers)", "return missing")
    plus_file.write_text(damaged)
    with pytest.raises(TaskError, match="reference of Own/0"):
        scored(sample_file(*RIGHT), plus_file)


def test_too_few_samples_for_k_are_named_before_anything_runs(sample_file: Write, task_file: Path) -> None:
    with pytest.raises(UsageError, match=r"pass@2 needs .* Own/0 has 1"):
        scored(sample_file(*RIGHT), task_file, ks=(2,))


def test_ks_are_whole_numbers() -> None:
    assert read_ks("1,10") == (1, 10)
    with pytest.raises(UsageError, match="--k takes"):
        read_ks("0")
