from pathlib import Path

import pytest

from quantbench.analysis import analyse
from quantbench.leftovers import REPORT_FILES, remove_old_report, set_aside_samples
from quantbench.records import Record
from quantbench.report import write_report
from quantbench.trial import Run, new_record
from quantbench.trial.text import samples_name
from tests.builders import make_trial
from tests.report_records import record, reference_records, task_result


def answered(name: str) -> Record:
    return record("int8", tasks=(task_result((), samples_file=f"samples/{name}"),))


def samples(folder: Path, *names: str) -> Path:
    (folder / "samples").mkdir()
    for name in names:
        (folder / "samples" / name).write_text(name)
    return folder


def standing(folder: Path) -> set[str]:
    return {path.name for path in (folder / "samples").glob("*.jsonl")}


def test_answers_of_an_earlier_run_are_set_aside_not_deleted(tmp_path: Path) -> None:
    set_aside_samples(samples(tmp_path, "int8-1.jsonl", "int4-2.jsonl"), [answered("int8-1.jsonl")])
    assert standing(tmp_path) == {"int8-1.jsonl"}
    assert (tmp_path / "samples" / "earlier" / "int4-2.jsonl").read_text() == "int4-2.jsonl"


def test_answers_come_back_with_their_records(tmp_path: Path) -> None:
    samples(tmp_path, "int8-1.jsonl", "int4-2.jsonl")
    set_aside_samples(tmp_path, [answered("int8-1.jsonl")])
    set_aside_samples(tmp_path, [answered("int4-2.jsonl")])
    assert standing(tmp_path) == {"int4-2.jsonl"}


def test_problems_stay_where_they_are(tmp_path: Path) -> None:
    set_aside_samples(samples(tmp_path, "problems.jsonl", "problems-quickeval.jsonl"), [])
    assert standing(tmp_path) == {"problems.jsonl", "problems-quickeval.jsonl"}


def test_a_folder_without_samples_is_left_alone(tmp_path: Path) -> None:
    set_aside_samples(tmp_path, [])
    assert list(tmp_path.iterdir()) == []


def test_report_files_that_were_not_written_are_removed(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("old")
    remove_old_report(tmp_path, ["report.md"], ("md", "html"))
    assert not (tmp_path / "report.html").exists()


def test_formats_that_were_not_asked_for_and_other_files_stay(tmp_path: Path) -> None:
    for name in ("report.html", "records.jsonl", "mine.png"):
        (tmp_path / name).write_text("x")
    remove_old_report(tmp_path, [], ("md",))
    assert {path.name for path in tmp_path.iterdir()} == {"report.html", "records.jsonl", "mine.png"}


@pytest.mark.parametrize("name", REPORT_FILES)
def test_every_file_that_a_format_writes_is_known_to_be_removed_later(tmp_path: Path, name: str) -> None:
    write_report(analyse(reference_records(), "fp16"), folder=tmp_path, formats=(name,))
    remove_old_report(tmp_path, [], (name,))
    assert list(tmp_path.iterdir()) == []


def test_answers_are_named_for_their_method_and_never_overwrite_others(tmp_path: Path) -> None:
    trial = make_trial()
    run = Run(
        name=trial.label,
        trial=trial,
        folder=tmp_path,
        record=new_record(trial),
        progress=lambda stage, done, total: None,
        checkpoint=lambda record: None,
    )
    assert samples_name(run, "") == f"{trial.label}.jsonl"
    (tmp_path / "samples" / "earlier").mkdir(parents=True)
    (tmp_path / "samples" / "earlier" / f"{trial.label}.jsonl").write_text("")
    assert samples_name(run, "") == f"{trial.label}-{trial.id[:8]}.jsonl"
