"""The results folder keeps what was written, whatever happens to single lines, the disk or other runs."""

import errno
import os
from pathlib import Path

import pytest

from quantbench.errors import StoreError
from quantbench.store import Store, write_atomically
from tests.builders import make_record, make_trial


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "results")
    made.create()
    return made


def test_a_record_is_read_back_as_it_was_written(store: Store) -> None:
    record = make_record(make_trial())
    store.append(record)
    assert store.read() == ([record], [])


def test_the_newest_record_of_a_trial_counts(store: Store) -> None:
    trial = make_trial()
    store.append(make_record(trial, failure="first"))
    store.append(make_record(trial))
    records, _ = store.read()
    assert [record.failure for record in records] == [None]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"schema_version": 1, "trial_id"', "not JSON"),
        (b'{"schema_version": 99}', "schema version 99"),
        (b'{"schema_version": 1}', "field 'trial_id'"),
        (b"[1, 2]", "schema version None"),
        (b"\xff\xfe", "not JSON"),
    ],
)
def test_a_damaged_line_is_named_and_nothing_else_is_lost(store: Store, line: bytes, reason: str) -> None:
    first, second = make_record(make_trial()), make_record(make_trial(method="int8"))
    store.append(first)
    path = store.folder / "records.jsonl"
    path.write_bytes(path.read_bytes() + line + b"\n")
    store.append(second)
    records, damaged = store.read()
    assert records == [first, second]
    assert [d.number for d in damaged] == [2]
    assert reason in damaged[0].reason


def test_a_line_cut_off_by_a_crash_does_not_swallow_the_next_record(store: Store) -> None:
    path = store.folder / "records.jsonl"
    path.write_bytes(b'{"schema_version": 1, "tri')
    store.append(make_record(make_trial()))
    records, damaged = store.read()
    assert (len(records), len(damaged)) == (1, 1)


def test_a_folder_without_records_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="run `quantbench run` first"):
        Store(tmp_path).read()


def test_a_folder_that_cannot_be_made_names_the_option(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="--output-dir"):
        Store(tmp_path / "file" / "results").create()


def test_two_runs_cannot_hold_one_folder(store: Store) -> None:
    with store.locked(), pytest.raises(StoreError, match="another run"), store.locked():
        pass


def test_a_full_disk_keeps_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="No space left"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
