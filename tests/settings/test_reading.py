"""Options and configuration files become settings; a mistake in either ends in one sentence."""

from pathlib import Path
from typing import Any

import pytest

from quantbench.errors import UsageError
from quantbench.settings import Format, RunSettings
from quantbench.settings import merge_config as merge
from quantbench.settings import read_settings as read


def merge_config(given: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in merge(RunSettings, given).items() if name != "config"}


def read_settings(options: dict[str, Any]) -> RunSettings:
    return read(RunSettings, options)


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


def test_batch_invariance_can_stand_in_the_file(tmp_path: Path) -> None:
    assert read_settings(config(tmp_path, "batch-invariant: true")).load.batch_invariant is True


@pytest.mark.parametrize("value", ["fp16, int8", ["fp16", "int8"]])
def test_lists_come_with_commas_or_as_yaml(value: Any) -> None:
    assert read_settings({"methods": value}).methods == ("fp16", "int8")


def test_a_list_of_numbers_takes_numbers_only() -> None:
    with pytest.raises(UsageError, match="--batch-sizes takes whole numbers"):
        read_settings({"batch_sizes": "1,eight"})


def test_every_format_is_written_unless_some_are_named() -> None:
    assert read_settings({}).output.format == tuple(Format)
    assert read_settings({"format": "md, csv"}).output.format == ("md", "csv")


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(UsageError, match="unknown format 'pdf'"):
        read_settings({"format": "pdf"})
