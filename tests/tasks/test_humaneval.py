"""HumanEval is read from several containers, checked against the published content, and damage is named."""

import dataclasses
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from quantbench.errors import TaskError
from quantbench.tasks import load_task
from quantbench.tasks.humaneval import load_humaneval
from quantbench.tasks.problem import Problem
from quantbench.tasks.protocols import EVALPLUS
from tests.tasks.published import humaneval_file

ROW = {
    "task_id": "T/0",
    "prompt": "def one():\n",
    "canonical_solution": "    return 1\n",
    "test": "def check(candidate):\n    assert candidate() == 1\n",
    "entry_point": "one",
}


def write(path: Path, rows: list[Any]) -> str:
    """Rows as a .jsonl file, compressed where the name says so."""
    text = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return str(path)


def test_the_published_file_is_recognised() -> None:
    task = load_humaneval(str(humaneval_file()))
    assert (len(task.problems), task.comparable, task.note) == (164, True, None)


def test_the_published_problems_are_recognised_without_compression(tmp_path: Path) -> None:
    problems = load_humaneval(str(humaneval_file())).problems
    path = write(tmp_path / "plain.jsonl", [dataclasses.asdict(problem) for problem in problems])
    assert load_humaneval(path).comparable


def test_other_data_are_marked_as_not_comparable(tmp_path: Path) -> None:
    task = load_humaneval(write(tmp_path / "mine.jsonl.gz", [ROW]))
    assert not task.comparable
    assert "1 problems" in (task.note or "")


def test_the_environment_variable_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUMANEVAL_OVERRIDE_PATH", write(tmp_path / "mine.jsonl", [ROW]))
    assert load_humaneval().problems[0].task_id == "T/0"


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([], "holds no problems"),
        ([ROW, ROW], "'T/0' twice"),
        ([{**ROW, "test": None}], "lacks the text field 'test'"),
        (["text"], "problem 1 of .* is no object"),
    ],
)
def test_damaged_data_are_refused_with_the_reason(tmp_path: Path, rows: list[Any], sentence: str) -> None:
    with pytest.raises(TaskError, match=sentence):
        load_humaneval(write(tmp_path / "damaged.jsonl", rows))


@pytest.mark.parametrize("line", ["{broken", "[" * 100_000, "[" + "9" * 5000 + "]"])
def test_a_line_that_is_not_json_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "damaged.jsonl"
    path.write_text(f"{json.dumps(ROW)}\n{line}\n")
    with pytest.raises(TaskError, match="line 2"):
        load_humaneval(str(path))


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\x85"])
def test_line_ends_of_unicode_may_stand_in_a_problem(tmp_path: Path, mark: str) -> None:
    row = ROW | {"prompt": f"def one():  # {mark}\n"}
    path = tmp_path / "marks.jsonl"
    path.write_text(json.dumps(row, ensure_ascii=False) + "\n")
    assert load_humaneval(str(path)).problems[0].prompt == row["prompt"]


def test_a_problem_with_inputs_needs_no_test(tmp_path: Path) -> None:
    row = {field: value for field, value in ROW.items() if field != "test"}
    path = write(tmp_path / "plus.jsonl", [row | {"base_input": [[]], "plus_input": [[]], "atol": 0}])
    assert load_humaneval(path).problems[0].test == ""


def test_inputs_do_not_change_what_identifies_the_problems(tmp_path: Path) -> None:
    plain, plus = write(tmp_path / "a", [ROW]), write(tmp_path / "b", [ROW | {"plus_input": []}])
    assert load_humaneval(plain).data_sha256 == load_humaneval(plus).data_sha256


def test_a_truncated_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cut.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps(ROW).encode() * 100)[:40])
    with pytest.raises(TaskError, match="fresh copy"):
        load_humaneval(str(path))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="no task data"):
        load_humaneval(str(tmp_path / "none.jsonl"))


def test_an_unknown_task_gets_the_nearest_name() -> None:
    with pytest.raises(TaskError, match="did you mean 'humaneval'"):
        load_task("humaneva")


def test_a_prompt_ends_with_one_newline() -> None:
    assert EVALPLUS.prompt(Problem(**{**ROW, "prompt": "\n\ndef one():\n\n"})) == "def one():\n"


def test_text_is_cut_at_its_earliest_stop() -> None:
    assert EVALPLUS.truncate("    return 1\n\nprint(1)\ndef two():") == "    return 1\n"


def test_text_without_a_stop_is_kept() -> None:
    assert EVALPLUS.truncate("    return 1\n") == "    return 1\n"
