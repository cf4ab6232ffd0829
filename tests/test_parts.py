"""Entries a problem lie beside their record: read when looked at, told when lost, never taken for none."""

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from quantbench import api
from quantbench.parts import Part, PartDamaged
from quantbench.plan import Plan
from quantbench.records import Distance, Perplexity, ProblemDistance, Record
from quantbench.runner import pending_trials, run_plan
from quantbench.selection import write_plan
from quantbench.store import Store, parse_record, whole
from tests.report_records import reference_records

PROBLEMS = tuple(
    ProblemDistance(task_id=f"p{n}", tokens=2, nll=1.0, baseline_nll=1.0, kl=(0.1, 0.2), confidence=(0.5, 1))
    for n in range(3)
)
DISTANCE = Distance(text="all", top_k=4, problems=PROBLEMS)
PERPLEXITY = (
    Perplexity(text="a", convention="c", window=8, stride=8, nll=(1.0,), counted=(7,), weights=(7,)),
)
RECORD = reference_records()[0].model_copy(update={"distance": DISTANCE, "perplexity": PERPLEXITY})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "results")
    made.create()
    made.append(RECORD)
    return made


def stored(store: Store) -> Record:
    return store.read()[0][0]


def part_file(store: Store) -> Path:
    (file,) = (store.folder / "parts").iterdir()
    return file


def test_a_record_with_parts_is_the_record_that_was_written(store: Store) -> None:
    assert stored(store) == RECORD


def test_its_line_holds_no_entry_of_them(store: Store) -> None:
    line = json.loads((store.folder / "records.jsonl").read_bytes())
    assert set(line["distance"]["problems"]) == {"file", "start", "nbytes", "sha256", "count"}
    assert line["tasks"][0]["completions"]["count"] == 164
    assert line["perplexity"]["count"] == 1


def test_a_part_is_read_when_it_is_looked_at_and_not_before(store: Store) -> None:
    completions = stored(store).tasks[0].completions
    assert isinstance(completions, Part) and not completions.loaded
    assert len(completions) == 164 and completions.loaded


def test_a_whole_record_reads_no_file_any_more(store: Store) -> None:
    found = whole(stored(store))
    part_file(store).unlink()
    assert found == RECORD


def test_a_record_with_its_entries_in_its_line_is_read_as_before(store: Store) -> None:
    inline = RECORD.model_dump_json().encode()
    assert parse_record(inline) == RECORD
    (store.folder / "records.jsonl").write_bytes(inline + b"\n")
    assert stored(store) == RECORD
    assert store.record(store.summaries()[0][RECORD.trial_id]) == RECORD


def test_a_record_that_is_written_again_leaves_the_older_parts(store: Store) -> None:
    store.append(stored(store))
    assert len(list((store.folder / "parts").iterdir())) == 2
    assert stored(store) == RECORD


def packed(path: Path, keep: slice = slice(None)) -> None:
    path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes())[keep])
    path.unlink()


def test_a_folder_whose_parts_were_packed_is_read_as_before(store: Store) -> None:
    packed(part_file(store))
    assert whole(stored(store)) == RECORD


def test_a_part_outside_the_folder_is_not_read(store: Store, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("[]")
    line = (store.folder / "records.jsonl").read_text()
    name = part_file(store).name
    changed = json.loads(line.replace(f"parts/{name}", "../secret"))
    del changed["checksum"]
    (store.folder / "records.jsonl").write_text(json.dumps(changed) + "\n")
    assert "names no part" in store.read()[1][0].reason


DAMAGE: list[tuple[str, Callable[[Path], object]]] = [
    ("is missing", Path.unlink),
    ("is damaged", lambda path: path.write_bytes(path.read_bytes()[:100])),
    ("is damaged", lambda path: path.write_bytes(path.read_bytes().replace(b"p", b"q"))),
    ("is damaged", lambda path: packed(path, slice(200))),
    ("is damaged", lambda path: path.rename(path.with_name(f"{path.name}.gz"))),
]


@pytest.mark.parametrize(("reason", "harm"), DAMAGE)
def test_a_lost_part_is_an_error_of_one_sentence_where_it_is_looked_at(
    store: Store, reason: str, harm: Callable[[Path], object]
) -> None:
    harm(part_file(store))
    with pytest.raises(PartDamaged, match=reason):
        list(stored(store).tasks[0].completions)


@pytest.mark.parametrize(("reason", "harm"), DAMAGE)
def test_a_report_says_it_and_shows_the_figures_as_missing(
    store: Store, reason: str, harm: Callable[[Path], object]
) -> None:
    harm(part_file(store))
    console = Console(record=True, width=400)
    results = api.load(store.folder, console=console)
    (row,) = results.compared.rows
    assert (row.score("humaneval"), row.record.distance) == (None, None)
    assert row.speed is not None
    said = console.export_text()
    assert (
        f"the outcomes of humaneval cannot be shown: '{part_file_name(results.records[0])}' {reason}" in said
    )
    assert reason in results.write(("md",))[0] or reason in (store.folder / "report.md").read_text()


def part_file_name(record: Record) -> str:
    completions = record.tasks[0].completions
    assert isinstance(completions, Part)
    return completions.place.file


def test_a_trial_whose_parts_are_gone_is_measured_again(store: Store) -> None:
    trial = RECORD.trial
    plan = Plan(trials=(trial,), baseline=trial.method)
    assert pending_trials(plan, store.summaries()[0], store) == ()
    part_file(store).unlink()
    measured = []

    class Watcher:
        def on_skip(self, trial: object) -> None: ...
        def on_start(self, trial: object, number: int, count: int) -> None: ...
        def on_record(self, trial: object, record: object) -> None: ...

    run_plan(plan, store, lambda trial: measured.append(trial) or RECORD, Watcher())  # type: ignore[func-returns-value]
    assert measured == [trial]
    assert whole(stored(store)) == RECORD


@pytest.mark.parametrize("place", [0.1, 0.5, 0.9])
def test_a_changed_line_is_damaged(store: Store, place: float) -> None:
    path = store.folder / "records.jsonl"
    line = bytearray(path.read_bytes())
    digits = [at for at, byte in enumerate(line[:-40]) if chr(byte) in "2345678"]
    line[digits[int(place * len(digits))]] += 1
    path.write_bytes(bytes(line))
    assert "checksum" in store.read()[1][0].reason
    assert store.summaries()[0] == {}


def test_a_summary_says_what_the_record_says(store: Store) -> None:
    failed = reference_records()[1]
    store.append(failed.model_copy(update={"took_s": 3.0}))
    for summary in store.summaries()[0].values():
        record = store.record(summary)
        trial = record.trial
        assert (summary.trial_id, summary.label, summary.model, summary.method) == (
            trial.id,
            trial.label,
            trial.model,
            trial.method,
        )
        assert (summary.role, summary.completed, summary.took_s) == (
            trial.role,
            record.completed,
            record.took_s,
        )
        assert summary.has_distance is (record.distance is not None)


def test_an_old_line_has_the_same_summary_as_a_new_one(store: Store) -> None:
    new = store.summaries()[0][RECORD.trial_id]
    (store.folder / "records.jsonl").write_bytes(RECORD.model_dump_json().encode() + b"\n")
    old = store.summaries()[0][RECORD.trial_id]
    apart = {"start", "nbytes", "parts"}
    fields = [name for name in new.__slots__ if name not in apart]
    assert [getattr(new, name) for name in fields] == [getattr(old, name) for name in fields]


def test_summaries_look_at_no_part(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    write_plan(Plan(trials=(RECORD.trial,), baseline="fp16"), store.folder)
    part_file(store).unlink()
    assert list(store.summaries()[0]) == [RECORD.trial_id]
    assert api.load(store.folder, console=Console(file=open(os.devnull, "w"))).records[0].size  # noqa: PTH123, SIM115
