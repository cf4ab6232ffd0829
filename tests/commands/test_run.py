"""Folders are named after models, reports take the last plan's records, exit codes tell why."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from quantbench.commands.report import report
from quantbench.commands.run import exit_code
from quantbench.errors import StoreError, UsageError
from quantbench.output import Output
from quantbench.plan import Plan
from quantbench.records import Failure, Record
from quantbench.selection import Selection, default_folder, load_selection, write_plan
from quantbench.settings import read_settings
from quantbench.settings.commands import ReportSettings
from quantbench.store import Store
from tests.builders import make_record, make_trial
from tests.report_records import reference_records


@pytest.mark.parametrize(
    ("model", "folder"),
    [
        ("builtin", "builtin"),
        ("Qwen/Qwen2.5-0.5B", "Qwen-Qwen2.5-0.5B"),
        ("random:qwen2.5-0.5b", "random-qwen2.5-0.5b"),
        ("./my-model/", "my-model"),
        ("../other", "other"),
    ],
)
def test_a_folder_is_named_after_the_model(model: str, folder: str) -> None:
    assert default_folder(model) == Path("results") / folder


def selected(records: list[Record], folder: Path) -> Selection:
    """What a folder with these records says belongs together."""
    for record in records:
        Store(folder).append(record)
    return load_selection(folder)[0]


def test_a_report_takes_the_last_plans_records_only(tmp_path: Path) -> None:
    old, new = make_record(make_trial(seed=1)), make_record(make_trial(seed=2))
    write_plan(Plan(trials=(make_trial(seed=2),), baseline="fp16"), tmp_path)
    assert selected([old, new], tmp_path) == ([new], "fp16", ())


def test_a_lost_plan_file_leaves_all_records(tmp_path: Path) -> None:
    records = [make_record(make_trial(method="int8")), make_record(make_trial())]
    assert selected(records, tmp_path) == (records, "fp16", ())


def test_a_damaged_plan_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text("{")
    with pytest.raises(StoreError, match=r"plan\.json"):
        selected([make_record(make_trial())], tmp_path)


def test_no_record_of_the_plan_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text(json.dumps({"baseline": "fp16", "trials": ["0"]}))
    with pytest.raises(StoreError, match="run `quantbench run` again"):
        selected([make_record(make_trial())], tmp_path)


def test_a_planned_trial_without_a_record_is_named(tmp_path: Path) -> None:
    write_plan(Plan(trials=(make_trial(), make_trial(method="int8")), baseline="fp16"), tmp_path)
    assert selected([make_record(make_trial())], tmp_path).missing == ("int8",)


def test_a_plan_without_labels_names_the_missing_trial_by_its_id(tmp_path: Path) -> None:
    known = make_trial()
    plan = {"baseline": "fp16", "trials": [known.id, "0123"]}
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    assert selected([make_record(known)], tmp_path).missing == ("trial 0123",)


def folder_with(tmp_path: Path, records: list[Record]) -> Path:
    """A results folder without a plan."""
    lines = "".join(record.model_dump_json() + "\n" for record in records)
    (tmp_path / "records.jsonl").write_text(lines)
    return tmp_path


def reported(folder: Path, formats: str) -> str:
    stream = io.StringIO()
    console = Console(file=stream, width=200)
    settings = read_settings(ReportSettings, {"folder": folder, "format": formats})
    assert report(settings, Output(console), console) == 0
    return stream.getvalue()


@pytest.mark.parametrize(
    ("formats", "file"),
    [("json", "results.json"), ("html", "report.html"), ("csv,json", "results.json"), ("md", "report.md")],
)
def test_the_file_that_is_named_is_one_that_was_written(tmp_path: Path, formats: str, file: str) -> None:
    text = reported(folder_with(tmp_path, reference_records()), formats)
    assert f"Report: {tmp_path / file}" in text
    assert (tmp_path / file).exists()


def test_a_record_that_is_gone_is_said_on_the_terminal_and_in_the_report(tmp_path: Path) -> None:
    records = reference_records()
    trials = tuple(record.trial for record in records)
    write_plan(Plan(trials=trials, baseline="fp16"), tmp_path)
    text = reported(folder_with(tmp_path, records[:2]), "md")
    assert "int4 was planned and has no readable record" in text
    assert "int4: it was planned, but" in (tmp_path / "report.md").read_text()


def test_pictures_of_another_task_do_not_stay_beside_a_new_report(tmp_path: Path) -> None:
    (tmp_path / "quickeval_pass_at_1_comparison.png").write_bytes(b"old")
    reported(folder_with(tmp_path, reference_records()), "md")
    assert not (tmp_path / "quickeval_pass_at_1_comparison.png").exists()


def test_a_record_with_any_line_end_of_unicode_is_read(tmp_path: Path) -> None:
    note = "one\u2028two\u2029three\u0085four\x0bfive"
    record = reference_records()[0].model_copy(update={"warnings": (note,)})
    stored, damaged = Store(folder_with(tmp_path, [record])).read()
    assert (stored[0].warnings, damaged) == ((note,), [])


def failed(**changes: Any) -> Record:
    """A record that failed in this way."""
    failure = {"stage": "load", "kind": "Error", "message": "broke"} | changes
    return make_record(make_trial()).model_copy(update={"failure": Failure(**failure)})


@pytest.mark.parametrize(
    ("record", "code"),
    [
        (make_record(make_trial()), 0),
        (failed(user_error=True), 2),
        (failed(traceback="Traceback ..."), 1),
        (failed(), 1),
        (failed(stage="process", kind="killed"), 1),
    ],
)
def test_the_exit_code_tells_a_users_mistake_from_a_trial_that_died(record: Record, code: int) -> None:
    assert exit_code([record.failure] if record.failure else []) == code


def test_audit_shows_how_a_model_is_held(tmp_path: Path) -> None:
    from quantbench.commands.audit import audit
    from quantbench.settings.commands import AuditSettings
    from tests.gguf_files import write_tiny

    text = io.StringIO()
    subject = str(write_tiny(tmp_path / "m.gguf"))
    out = Output(Console(file=text, width=200))
    assert audit(AuditSettings(subject=subject, device="cpu"), out, Console(file=io.StringIO())) == 0
    assert "Q8_0" in text.getvalue() and "down (1)" in text.getvalue()


@pytest.mark.parametrize("option", [{"device": "cpu"}, {"method": "int8"}])
def test_audit_of_a_results_folder_takes_no_option_of_models(option: dict[str, str], tmp_path: Path) -> None:
    from quantbench.commands.audit import audit
    from quantbench.settings.commands import AuditSettings

    settings = AuditSettings(subject=str(folder_with(tmp_path, reference_records())), **option)
    console = Console(file=io.StringIO())
    with pytest.raises(UsageError, match=f"--{next(iter(option))} has no effect here"):
        audit(settings, Output(console), console)
