from pathlib import Path

import pytest

from quantbench.analysis import Rows, analyse
from quantbench.records import Record
from quantbench.report.formats.flips import DiffLine, Flips, diff_lines, read_flips
from tests.report.results_folder import prompt, write_results


def results_of(records: list[Record]) -> Rows:
    return analyse(records, "fp16").results


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("results")


@pytest.fixture(scope="module")
def records(folder: Path) -> list[Record]:
    return write_results(folder)


@pytest.fixture(scope="module")
def flips(folder: Path, records: list[Record]) -> Flips:
    return read_flips(results_of(records), folder)


def test_every_changed_outcome_is_one_flip(flips: Flips) -> None:
    counts = {
        label: sum(f.label == label for f in flips.entries)
        for label in ("int8", "int4", "fp16 again, batch 31")
    }
    assert counts == {"int8": 15, "int4": 31, "fp16 again, batch 31": 1}


def test_flip_shows_prompt_both_answers_and_what_failed(flips: Flips) -> None:
    flip = next(f for f in flips.entries if f.label == "int8")
    assert (flip.task_id, flip.gained) == ("humaneval/0", False)
    assert flip.prompt == prompt(0)
    assert flip.diff == (DiffLine("+", "    # int8"), DiffLine(" ", "    return a + b + 0"))
    assert (flip.outcome, flip.detail) == ("wrong answer", "AssertionError in humaneval/0")


def test_gained_problem_tells_what_failed_in_the_baselines_answer(flips: Flips) -> None:
    flip = next(f for f in flips.entries if f.label == "int8" and f.gained)
    assert flip.detail == f"AssertionError in {flip.task_id}"


def test_lost_samples_file_is_said_and_the_others_are_shown(tmp_path: Path) -> None:
    records = write_results(tmp_path)
    (tmp_path / "samples" / "int8.jsonl").unlink()
    flips = read_flips(results_of(records), tmp_path)
    assert flips.missing == ("int8, humaneval: 'int8.jsonl' cannot be read (FileNotFoundError)",)
    assert any(flip.label == "int4" for flip in flips.entries)


def test_replaced_line_is_one_old_and_one_new() -> None:
    assert diff_lines("a\nb", "a\nc") == (DiffLine(" ", "a"), DiffLine("-", "b"), DiffLine("+", "c"))
