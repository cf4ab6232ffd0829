"""Files that a node of a cluster hands over lie where they belong, or are refused."""

import shutil
from pathlib import Path

import pytest

from quantbench.errors import StoreError
from quantbench.executors.ray_pool import keep_files

FILES = {"samples/earlier/int8.jsonl": b"1\n", "logs/int8.log": b"", "distance/a.npz": b"PK"}


def test_they_have_the_names_that_they_had_on_the_node(tmp_path: Path) -> None:
    keep_files(tmp_path, FILES)
    found = {str(p.relative_to(tmp_path)): p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    assert found == FILES


@pytest.mark.parametrize("name", ["../records.jsonl", "/etc/passwd", "samples/../../x"])
def test_a_name_outside_the_folder_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="outside the results folder"):
        keep_files(tmp_path / "results", {name: b""})


def test_a_results_folder_that_is_gone_is_said_and_not_made_again(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    folder.mkdir()
    shutil.rmtree(folder)
    with pytest.raises(StoreError):
        keep_files(folder, FILES)
    assert not folder.exists()
