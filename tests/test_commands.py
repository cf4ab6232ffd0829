"""Folders are named after models, reports take the last plan's records, exit codes tell why."""

import json
from pathlib import Path
from typing import Any

import pytest

from quantbench.commands import default_folder, exit_code, select_records, write_plan
from quantbench.errors import StoreError
from quantbench.plan import Plan
from quantbench.records import Failure, Record
from tests.builders import make_record, make_trial


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


def test_a_report_takes_the_last_plans_records_only(tmp_path: Path) -> None:
    old, new = make_record(make_trial(seed=1)), make_record(make_trial(seed=2))
    write_plan(Plan(trials=(make_trial(seed=2),), baseline="fp16"), tmp_path)
    assert select_records([old, new], tmp_path) == ([new], "fp16")


def test_a_lost_plan_file_leaves_all_records(tmp_path: Path) -> None:
    records = [make_record(make_trial(method="int8")), make_record(make_trial())]
    assert select_records(records, tmp_path) == (records, "fp16")


def test_a_damaged_plan_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text("{")
    with pytest.raises(StoreError, match=r"plan\.json"):
        select_records([make_record(make_trial())], tmp_path)


def test_no_record_of_the_plan_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text(json.dumps({"baseline": "fp16", "trials": ["0"]}))
    with pytest.raises(StoreError, match="run `quantbench run` again"):
        select_records([make_record(make_trial())], tmp_path)


def failed(**changes: Any) -> Record:
    """A record that failed in this way."""
    failure = {"stage": "load", "kind": "Error", "message": "broke"} | changes
    return make_record(make_trial()).model_copy(update={"failure": Failure(**failure)})


@pytest.mark.parametrize(
    ("record", "code"),
    [
        (make_record(make_trial()), 0),
        (failed(), 2),
        (failed(traceback="Traceback ..."), 1),
        (failed(stage="process", kind="killed"), 1),
    ],
)
def test_the_exit_code_tells_a_users_mistake_from_a_trial_that_died(record: Record, code: int) -> None:
    assert exit_code([record]) == code
