from pathlib import Path

import pytest

from quantbench import sources
from quantbench.errors import ModelError
from quantbench.sources import open_source
from tests.model_folders import write_folder


def test_a_folder_is_opened_under_the_name_it_was_given(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "model")
    assert open_source(str(folder)).name == str(folder)


def test_a_folder_in_the_working_directory_comes_before_a_hub_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folder(tmp_path / "org" / "model")
    monkeypatch.chdir(tmp_path)
    assert open_source("org/model").folder == Path("org/model")


@pytest.mark.parametrize("model", ["./nothing", "/no/such/folder", "a/b/c", "~/nothing-here"])
def test_a_path_that_is_not_there_is_told_so(model: str) -> None:
    with pytest.raises(ModelError, match="there is no folder"):
        open_source(model)


def test_a_file_is_answered_with_its_folder(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"is a file; give a \.gguf file, or the folder"):
        open_source(str(write_folder(tmp_path) / "model.safetensors"))


def test_an_empty_name_is_refused() -> None:
    with pytest.raises(ModelError, match="no model given"):
        open_source("")


def test_the_built_in_model_is_a_labelled_placeholder_where_its_files_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "BUILTIN_FOLDER", tmp_path)
    assert "random weights" in str(open_source("builtin").note)


def test_the_built_in_model_is_read_from_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "BUILTIN_FOLDER", write_folder(tmp_path))
    source = open_source("builtin")
    assert (source.name, source.folder) == ("builtin", tmp_path)


def test_random_weights_keep_the_seed() -> None:
    assert open_source("random:smollm2-135m", seed=7).note == "random weights, seed 7"
