"""What disks and folders do to a run: said in one sentence, nothing half made, nothing lost."""

import errno
import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from quantbench.errors import StoreError
from quantbench.plan import Plan, Trial
from quantbench.records import Record
from quantbench.runner import run_plan
from quantbench.selection import read_plan, write_plan
from quantbench.store import Store, whole
from tests.builders import make_record, make_trial
from tests.report_records import reference_records

FORK = multiprocessing.get_context("fork")
PLAN = Plan(trials=(make_trial(), make_trial(method="int8"), make_trial(method="int4")), baseline="fp16")


class Silent:
    """A watcher that watches nothing."""

    def on_skip(self, trial: Trial) -> None: ...

    def on_start(self, trial: Trial, number: int, count: int) -> None: ...

    def on_record(self, trial: Trial, record: Record) -> None: ...


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "results")
    made.create()
    return made


def with_disk_of(nbytes: int, act: Callable[[], object]) -> str:
    """What `act` raises in a process whose files may not grow beyond so many bytes; '' for nothing."""
    ours, theirs = FORK.Pipe()

    def limited() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (nbytes, nbytes))
        try:
            act()
            theirs.send("")
        except StoreError as error:
            theirs.send(str(error))

    process = FORK.Process(target=limited)
    process.start()
    said = ours.recv() if ours.poll(20) else "it ended without a word"
    process.join()
    return str(said)


def test_a_disk_that_is_full_at_any_byte_keeps_what_was_there_and_says_so(store: Store) -> None:
    first, second, _ = reference_records()
    store.append(first)
    before = (store.folder / "records.jsonl").read_bytes()
    line = len(before)
    part = next((store.folder / "parts").iterdir()).stat().st_size
    for nbytes in (0, 1, part // 2, part - 1, part + 1, line + 1, line + 700, 2 * line - 50):
        said = with_disk_of(nbytes, lambda: store.append(second))
        found = [whole(record) for record in store.read()[0]]
        if said:
            assert "cannot write" in said and "free some space" in said
            assert found == [first]
            assert (store.folder / "records.jsonl").read_bytes() == before
        else:
            assert found == [first, second]
            return
    store.append(second)
    assert [whole(record) for record in store.read()[0]] == [first, second]


@pytest.mark.parametrize("there", [0, 1])
def test_a_line_that_the_disk_takes_in_part_is_taken_back(store: Store, there: int) -> None:
    """Nothing of it is left, and nothing of it comes back when the disk has room again."""
    records = [make_record(make_trial(method=method)) for method in ("fp16", "int8")]
    for record in records[:there]:
        store.append(record)
    path = store.folder / "records.jsonl"
    before = path.read_bytes() if there else b""
    for nbytes in (1, 200, 1000):
        assert "free some space" in with_disk_of(len(before) + nbytes, lambda: store.append(records[there]))
        assert path.read_bytes() == before
    store.append(records[there])
    assert store.read() == (records[: there + 1], [])


def test_a_plan_that_cannot_be_written_leaves_the_old_one(store: Store) -> None:
    write_plan(PLAN, store.folder)
    before = read_plan(store.folder / "plan.json")
    other = Plan(trials=PLAN.trials[:1], baseline="fp16")
    assert "free some space" in with_disk_of(20, lambda: write_plan(other, store.folder))
    assert read_plan(store.folder / "plan.json") == before


Harm = Callable[[Path], object]
GONE: list[Harm] = [shutil.rmtree, lambda folder: folder.rename(folder.with_name("moved"))]


@pytest.mark.parametrize("harm", GONE)
def test_a_folder_that_is_gone_in_the_middle_is_said_and_not_made_again(store: Store, harm: Harm) -> None:
    def execute(trial: Trial) -> Record:
        if trial.method == "int8":
            harm(store.folder)
        return make_record(trial)

    with pytest.raises(StoreError, match="was removed or moved while it was written to"):
        run_plan(PLAN, store, execute, Silent())
    assert not store.folder.exists()


def test_a_moved_folder_goes_on_where_it_is_now(store: Store, tmp_path: Path) -> None:
    def execute(trial: Trial) -> Record:
        if trial.method == "int8":
            store.folder.rename(tmp_path / "moved")
        return make_record(trial)

    with pytest.raises(StoreError):
        run_plan(PLAN, store, execute, Silent())
    executed: list[str] = []

    def again(trial: Trial) -> Record:
        executed.append(trial.method)
        return make_record(trial)

    moved = Store(tmp_path / "moved")
    moved.create()
    run_plan(PLAN, moved, again, Silent())
    assert executed == ["int8", "int4"]


def test_another_folder_in_its_place_is_not_written_to(store: Store) -> None:
    def execute(trial: Trial) -> Record:
        if trial.method == "int8":
            store.folder.rename(store.folder.with_name("moved"))
            store.folder.mkdir()
        return make_record(trial)

    with pytest.raises(StoreError, match="removed or moved"):
        run_plan(PLAN, store, execute, Silent())
    assert list(store.folder.iterdir()) == []


@pytest.mark.parametrize("reason", [errno.EROFS, errno.EACCES, errno.EIO, errno.EDQUOT])
def test_a_folder_that_takes_no_more_is_said_with_the_systems_reason(
    store: Store, reason: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, _ = reference_records()
    store.append(first)

    def refused(*args: object, **kwargs: object) -> None:
        raise OSError(reason, os.strerror(reason))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", refused)
        with pytest.raises(StoreError, match=os.strerror(reason)):
            store.append(second)
    assert [record.trial_id for record in store.read()[0]] == [first.trial_id]


COMMANDS = [["status", "."], ["status", ".", "--json"], ["report", ".", "--format", "json"]]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_full_disk_behind_standard_output_is_one_sentence(store: Store, command: list[str]) -> None:
    write_plan(Plan(trials=(reference_records()[0].trial,), baseline="fp16"), store.folder)
    store.append(reference_records()[0])
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "quantbench", *command],
            cwd=store.folder,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            timeout=120,
        )
    assert done.returncode == 2
    assert "No space left on device" in done.stderr and "Traceback" not in done.stderr


def test_a_clock_that_is_set_back_changes_nothing(store: Store) -> None:
    """What is newest is told by the place in the file, not by the time."""
    trial = make_trial()
    late, early = "2026-05-01T00:00:00+00:00", "2001-01-01T00:00:00+00:00"
    store.append(make_record(trial, failure="broke").model_copy(update={"created_at": late}))
    store.append(make_record(trial).model_copy(update={"created_at": early}))
    (record,), _ = store.read()
    assert record.completed and store.summaries()[0][trial.id].completed
