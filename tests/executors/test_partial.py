"""Nothing that a partial file or a child's pipe holds can end a run."""

import json
from pathlib import Path
from typing import Any

import pytest

from quantbench.executors.local import ProgressPipe, death, read_partial
from quantbench.records import Failure
from tests.builders import make_record, make_trial

TRIAL = make_trial()
WHOLE = json.loads(make_record(TRIAL).model_dump_json())
DISTANCE = {"task_id": "a", "tokens": 1, "nll": None, "baseline_nll": 1.0}
OTHERS: list[bytes] = [
    b"",
    b"null",
    b"[]",
    b"{}",
    b"\xff\xfe\x00",
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b'{"schema_version": 1' + b"0" * 10_000 + b"}",
    json.dumps(WHOLE).encode()[:-20],
    json.dumps(WHOLE | {"trial_id": "another"}).encode(),
    json.dumps(WHOLE | {"trial": {}}).encode(),
    json.dumps(WHOLE | {"trial": None}).encode(),
    json.dumps(WHOLE | {"warnings": ["\ud800"]}).encode(),
    json.dumps(WHOLE | {"distance": {"text": "t", "top_k": 1, "problems": [DISTANCE]}}).encode(),
    json.dumps(WHOLE | {"bandwidth": {"read_bytes_per_s": float("nan"), "method": "m"}}).encode(),
    json.dumps(WHOLE | {"bandwidth": {"read_bytes_per_s": float("inf"), "method": "m"}}).encode(),
]


@pytest.mark.parametrize("content", OTHERS, ids=range(len(OTHERS)))
def test_a_file_that_is_no_record_is_a_failure_that_says_so(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "partial.json"
    path.write_bytes(content)
    record = read_partial(path, TRIAL, None)
    assert record.trial_id == TRIAL.id
    assert record.failure is not None and "run the same command again" in record.failure.message
    assert not path.exists()


def test_a_trial_without_a_file_is_a_failure_too(tmp_path: Path) -> None:
    assert read_partial(tmp_path / "none.json", TRIAL, None).failure is not None


def test_a_folder_in_the_files_place_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "partial.json"
    (path / "within").mkdir(parents=True)
    assert read_partial(path, TRIAL, None).failure is not None
    assert not path.exists()


def test_how_the_process_died_is_said_before_what_it_left(tmp_path: Path) -> None:
    path = tmp_path / "partial.json"
    path.write_bytes(b"{")
    failure = Failure(stage="process", kind="killed", message="SIGKILL")
    assert read_partial(path, TRIAL, failure).failure == failure


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_record_refuses_what_json_cannot_hold(value: float) -> None:
    from quantbench.records import Bandwidth

    with pytest.raises(ValueError, match="finite"):
        Bandwidth(read_bytes_per_s=value, method="a test")


def test_what_is_no_progress_is_dropped_and_what_is_comes_through() -> None:
    told: list[Any] = []
    lines = ProgressPipe(lambda stage, done, total: told.append((stage, done, total)))
    rubbish = [b"\xff\xff", b"hello", b"{}", b'["a"]', b'["a", "b", "c"]', b"[" * 100_000, b'["x", null, 2]']
    for line in rubbish:
        lines.feed(line + b"\n")
    lines.feed(
        b'["load',
    )
    lines.feed(b'ing", 1, 2]\n["speed", 3, 4]\n')
    assert told == [("loading", 1, 2), ("speed", 3, 4)]


@pytest.mark.parametrize("status", [1, -9])
def test_a_log_that_is_gone_is_no_error_of_the_run(status: int, tmp_path: Path) -> None:
    """The results folder was moved: whoever writes to it next says so."""
    failure = death(status, tmp_path / "gone" / "fp16.log")
    assert (failure.stage, failure.traceback) == ("process", None)
