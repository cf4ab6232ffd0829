"""Records of every schema version are read, and mean what they meant."""

import json
from pathlib import Path
from typing import Any

import pytest

from quantbench.plan import Plan, Role, Trial
from quantbench.records import MemoryKind, Record
from quantbench.runner import run_plan
from quantbench.schema import READABLE, SCHEMA_VERSION
from quantbench.settings import Engine
from quantbench.store import Store, parse_record
from tests.report_records import reference_records

OLD = json.loads((Path(__file__).parent / "schema_1.jsonl").read_text())


def read(**changes: Any) -> Record:
    """The record of schema 1 with these changes."""
    return parse_record(json.dumps(OLD | changes).encode())


def without_new(written: Any, old: Any) -> Any:
    """What is written, without the fields that came after the old record."""
    if isinstance(old, dict):
        return {name: without_new(written[name], value) for name, value in old.items()}
    if isinstance(old, list):
        return [without_new(one, other) for one, other in zip(written, old, strict=True)]
    return written


def test_a_record_of_the_first_schema_is_read() -> None:
    assert OLD["schema_version"] == 1
    assert read().schema_version == SCHEMA_VERSION


def test_its_settings_keep_their_values_and_so_its_trial_keeps_its_id() -> None:
    record = read()
    assert {name: record.trial.to_dict()[name] for name in OLD["trial"]} == OLD["trial"]
    assert record.trial.id == OLD["trial_id"]


def test_its_figures_are_the_same_when_it_is_written_again() -> None:
    written = json.loads(read().model_dump_json())
    changed = {"schema_version", "kernels"}  # how kernels were told is tested beside their module
    old = {name: value for name, value in OLD.items() if name not in changed}
    assert without_new(written, old) == old
    assert {kernel["operation"] for kernel in written["kernels"]} == set(OLD["kernels"])


def test_roles_engines_and_kinds_of_memory_are_enums_stored_as_before() -> None:
    record = read()
    assert (record.role, record.engine) == (Role.METHOD, Engine.NATIVE)
    assert record.memory is not None and record.memory.kind is MemoryKind.CPU


FAILURES = [
    ({"stage": "load", "kind": "ModelError", "message": "no"}, True),
    ({"stage": "load", "kind": "KeyError", "message": "no", "traceback": "Traceback ..."}, False),
    ({"stage": "process", "kind": "killed", "message": "no"}, False),
]


@pytest.mark.parametrize(("failure", "user_error"), FAILURES)
def test_the_first_schema_told_a_users_error_by_a_missing_traceback(
    failure: dict[str, str], user_error: bool
) -> None:
    found = read(failure=failure).failure
    assert found is not None and found.user_error is user_error


@pytest.mark.parametrize("version", [0, max(READABLE) + 1, "1", None])
def test_a_version_of_another_time_is_said(version: object) -> None:
    with pytest.raises(ValueError, match=r"this quantbench reads 1 to 3"):
        read(schema_version=version)


def test_a_setting_that_no_trial_has_any_more_is_left_out() -> None:
    assert read(trial=OLD["trial"] | {"colour": "red"}).trial == read().trial


def test_a_trial_without_its_method_is_damage(tmp_path: Path) -> None:
    trial = {name: value for name, value in OLD["trial"].items() if name != "method"}
    (tmp_path / "records.jsonl").write_text(json.dumps(OLD | {"trial": trial}))
    _, (damaged,) = Store(tmp_path).read()
    assert damaged.reason == "field 'trial.method': Field required"


def test_a_trial_with_what_was_never_resolved_is_damage() -> None:
    with pytest.raises(ValueError, match="not planned yet"):
        read(trial=OLD["trial"] | {"engine": "auto"})


class Quiet:
    """A watcher that says nothing."""

    def on_skip(self, trial: Trial) -> None: ...

    def on_start(self, trial: Trial, number: int, count: int) -> None: ...

    def on_record(self, trial: Trial, record: Record) -> None: ...


def test_what_the_first_schema_recorded_is_not_measured_again(tmp_path: Path) -> None:
    (tmp_path / "records.jsonl").write_text(json.dumps(OLD) + "\n")

    def execute(trial: Trial) -> Record:
        raise AssertionError("it was measured")

    plan = Plan(trials=(read().trial,), baseline="fp16")
    records, damaged = run_plan(plan, Store(tmp_path), execute, Quiet())
    assert ([record.trial_id for record in records], damaged) == ([OLD["trial_id"]], [])


def test_a_record_is_read_as_it_was_written() -> None:
    for record in reference_records():
        assert parse_record(record.model_dump_json().encode()) == record
