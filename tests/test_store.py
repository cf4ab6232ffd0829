"""The results folder keeps what was written, whatever happens to single lines, the disk or other runs."""

import errno
import os
from pathlib import Path

import pytest

from quantbench.errors import StoreError
from quantbench.kernels import Kernel
from quantbench.records import Record
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


@pytest.mark.parametrize("whole", [0, 1, 3])
def test_a_line_cut_off_by_a_crash_is_taken_back(store: Store, whole: int) -> None:
    records = [make_record(make_trial(seed=seed)) for seed in range(whole + 1)]
    for record in records[:-1]:
        store.append(record)
    path = store.folder / "records.jsonl"
    with path.open("ab") as file:
        file.write(b'{"schema_version": 1, "tri' + b"x" * 200_000)
    store.append(records[-1])
    assert store.read() == (records, [])


def test_a_whole_record_without_its_line_end_is_kept(store: Store) -> None:
    first, second = make_record(make_trial()), make_record(make_trial(method="int8"))
    store.append(first)
    path = store.folder / "records.jsonl"
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    store.append(second)
    assert store.read() == ([first, second], [])


def test_a_record_cut_anywhere_never_costs_another(store: Store) -> None:
    first, second = make_record(make_trial()), make_record(make_trial(method="int8"))
    store.append(first)
    path = store.folder / "records.jsonl"
    whole = path.read_bytes()
    cut = second.model_dump_json().encode()
    for end in range(0, len(cut), 97):
        path.write_bytes(whole + cut[:end])
        store.append(second)
        assert store.read() == ([first, second], [])


def test_a_disk_that_fills_up_while_a_record_is_written_keeps_the_others(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = make_record(make_trial())
    store.append(first)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(StoreError, match="No space left"):
            store.append(make_record(make_trial(method="int8")))
    assert store.read() == ([first], [])


def test_appending_reads_and_writes_no_more_than_the_end(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = store.folder / "records.jsonl"
    path.write_bytes(b"".join(b"x" * 1000 + b"\n" for _ in range(2000)))
    record = make_record(make_trial())
    before = path.stat()
    store.append(record)
    assert path.stat().st_ino == before.st_ino
    seal = len(',"checksum":"01234567"')
    assert path.stat().st_size == before.st_size + len(record.model_dump_json()) + seal + 1


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


def test_kernels_as_version_1_told_them_are_read() -> None:
    told = {
        "linear": "triton",
        "decode step, up to 4 rows": "as for more rows: no such device",
        "decode step, up to 2 rows": "one kernel",
        "decode step, more rows": "seven kernels",
        "fallback": "plain torch: no compiler",
    }
    data = make_record(make_trial()).model_dump() | {"kernels": told}
    assert Record.model_validate(data).kernels == (
        Kernel(operation="linear", name="triton"),
        Kernel(operation="decode step", name="as for more rows", max_batch=4, reason="no such device"),
        Kernel(operation="decode step", name="one kernel", max_batch=2),
        Kernel(operation="decode step", name="seven kernels"),
        Kernel(operation="fallback", name="plain torch", reason="no compiler"),
    )
