"""Sample files: what is read, and what is named because it cannot be."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from quantbench.errors import TaskError
from quantbench.evaluation.samples import read_samples

IDS = ("Own/0", "Own/1")
GOOD = {"task_id": "Own/0", "completion": "    return 1\n"}
Write = Callable[..., Path]


def test_a_completion_continues_the_prompt(sample_file: Write) -> None:
    sample = read_samples(sample_file(GOOD), IDS).samples[0]
    assert (sample.task_id, sample.text, sample.standalone) == ("Own/0", "    return 1\n", False)


def test_a_solution_is_the_whole_program(sample_file: Write) -> None:
    sample = read_samples(sample_file({"task_id": "Own/0", "solution": "x"}), IDS).samples[0]
    assert (sample.text, sample.standalone) == ("x", True)


def test_the_solution_of_a_line_with_both_is_scored_and_that_is_noted(sample_file: Write) -> None:
    read = read_samples(sample_file({"task_id": "Own/0", "completion": "a", "solution": "b"}), ("Own/0",))
    assert (read.samples[0].text, read.samples[0].standalone) == ("b", True)
    assert read.warnings == () and "1 lines hold both" in read.notes[0]


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\x85"])
def test_line_ends_of_unicode_may_stand_in_a_sample(tmp_path: Path, mark: str) -> None:
    path = tmp_path / "samples.jsonl"
    path.write_text(json.dumps(GOOD | {"completion": mark}, ensure_ascii=False))
    assert read_samples(path, ("Own/0",)).samples[0].text == mark


def test_several_samples_of_a_problem_are_kept_in_order(sample_file: Write) -> None:
    rows = [{"task_id": "Own/0", "completion": str(number)} for number in range(3)]
    assert [sample.text for sample in read_samples(sample_file(*rows), IDS).samples] == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"task_id": "Own/0", "compl', "line 1 is left out: not JSON"),
        ("[1]", "line 1 is left out: no text field 'task_id'"),
        ('{"task_id": 7, "completion": ""}', "line 1 is left out: no text field 'task_id'"),
        ('{"task_id": "Own/0"}', "line 1 is left out: no text field 'completion' or 'solution'"),
        ('{"task_id": "Own/0", "completion": null}', "no text field 'completion' or 'solution'"),
        ("[" * 100_000, "line 1 is left out: not JSON"),
    ],
)
def test_a_damaged_line_is_named_and_the_rest_kept(sample_file: Write, line: str, reason: str) -> None:
    read = read_samples(sample_file(line, GOOD), ("Own/0",))
    assert len(read.samples) == 1
    assert len(read.warnings) == 1 and reason in read.warnings[0]


def test_unknown_and_missing_problems_are_named(sample_file: Write) -> None:
    warnings = read_samples(sample_file(GOOD, {"task_id": "X/9", "completion": ""}), IDS).warnings
    assert "'X/9' (line 2)" in warnings[0]
    assert "1 of 2 problems have no sample" in warnings[1] and "Own/1" in warnings[1]


def test_a_packed_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps(GOOD).encode()))
    assert len(read_samples(path, IDS).samples) == 1


def test_a_packed_file_without_its_end_gives_what_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl.gz"
    content = "".join(json.dumps(GOOD | {"number": number}) + "\n" for number in range(5000))
    packed = gzip.compress(content.encode())
    path.write_bytes(packed[: len(packed) // 2])
    read = read_samples(path, ("Own/0",))
    assert 100 < len(read.samples) < 5000
    assert "its end is missing" in read.warnings[0]


def test_a_file_without_samples_is_refused_with_the_reason(sample_file: Write) -> None:
    with pytest.raises(TaskError, match=r"holds no sample .*line 1"):
        read_samples(sample_file("nothing"), IDS)


def test_samples_of_another_task_are_refused(sample_file: Write) -> None:
    with pytest.raises(TaskError, match="choose --task or --task-data"):
        read_samples(sample_file({"task_id": "X/9", "completion": ""}), IDS)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"none\.jsonl"):
        read_samples(tmp_path / "none.jsonl", IDS)
