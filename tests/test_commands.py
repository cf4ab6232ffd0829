"""Options and configuration files become settings; a mistake in either ends in one sentence."""

import json
from pathlib import Path
from typing import Any

import pytest

from quantbench.commands import (
    FORMATS,
    default_folder,
    exit_code,
    merge_config,
    read_formats,
    read_settings,
    select_records,
    write_plan,
)
from quantbench.errors import StoreError, UsageError
from quantbench.plan import Plan
from quantbench.records import Failure, Record
from tests.builders import make_record, make_trial


def config(folder: Path, text: str) -> dict[str, Any]:
    """What `--config` gives for a file with this text."""
    path = folder / "config.yaml"
    path.write_text(text)
    return merge_config({"config": path})


def test_the_command_line_wins_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("batch-size: 8\nseed: 3\n")
    assert merge_config({"config": path, "seed": 7}) == {"batch_size": 8, "seed": 7}


@pytest.mark.parametrize("text", ["batch-size: 8", "batch_size: 8"])
def test_a_key_may_have_either_spelling(tmp_path: Path, text: str) -> None:
    assert config(tmp_path, text) == {"batch_size": 8}


def test_an_unknown_key_is_named_with_the_nearest_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"unknown key 'methds'; did you mean 'methods'"):
        config(tmp_path, "methds: fp16")


def test_bad_yaml_is_refused_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="line 2"):
        config(tmp_path, "seed: 1\n  bad: [")


def test_a_file_without_keys_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="must hold keys and values"):
        config(tmp_path, "- fp16")


def test_an_empty_file_changes_nothing(tmp_path: Path) -> None:
    assert config(tmp_path, "") == {}


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="check --config"):
        merge_config({"config": tmp_path / "none.yaml"})


def test_a_value_of_another_type_is_refused() -> None:
    with pytest.raises(UsageError, match="'seed' must be of type int"):
        read_settings({"seed": "one"})


@pytest.mark.parametrize("value", ["fp16, int8", ["fp16", "int8"]])
def test_lists_come_with_commas_or_as_yaml(value: Any) -> None:
    assert read_settings({"methods": value}).methods == ("fp16", "int8")


def test_a_list_of_numbers_takes_numbers_only() -> None:
    with pytest.raises(UsageError, match="--batch-sizes takes whole numbers"):
        read_settings({"batch_sizes": "1,eight"})


def test_the_model_is_given_once() -> None:
    with pytest.raises(UsageError, match="given twice"):
        read_settings({"model": "a", "model_option": "b"})


def test_every_format_is_written_unless_some_are_named() -> None:
    assert read_formats(None) == FORMATS
    assert read_formats("md, csv") == ("md", "csv")


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(UsageError, match="unknown format 'pdf'"):
        read_formats("pdf")


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
