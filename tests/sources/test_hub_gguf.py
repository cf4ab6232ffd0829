"""One GGUF file of a hub repository is a model: ORG/NAME:FILE.gguf."""

from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import errors

from quantbench.errors import ModelError
from quantbench.sources import find_model, is_hub_id, open_source
from tests.gguf_files import write_gguf, write_tiny
from tests.sources.test_hub import COMMIT, hub_error

MODEL = "org/m-GGUF:m.Q8_0.gguf"


def serve(path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, str | None]]:
    """A hub that has this file; what was asked of it."""
    asked = []

    def download(model: str, file: str, *, revision: str | None = None) -> str:
        asked.append((model, file, revision))
        return str(path)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    return asked


def test_one_file_is_fetched_and_its_commit_is_the_revision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_tiny(tmp_path / "snapshots" / COMMIT / "m.Q8_0.gguf")
    asked = serve(path, monkeypatch)
    source = open_source(MODEL, revision="main")
    assert asked == [("org/m-GGUF", "m.Q8_0.gguf", "main")]
    assert (source.name, source.revision) == (MODEL, COMMIT)


def test_a_file_in_a_folder_of_the_repository_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_tiny(tmp_path / "snapshots" / COMMIT / "q8" / "m.gguf")
    asked = serve(path, monkeypatch)
    assert open_source("org/m:q8/m.gguf").revision == COMMIT
    assert asked == [("org/m", "q8/m.gguf", None)]


@pytest.mark.parametrize(
    ("name", "hub"),
    [
        (MODEL, True),
        ("m:m.gguf", True),
        ("org/m:m.bin", False),
        ("random:m.gguf", False),
        ("./m:m.gguf", False),
    ],
)
def test_a_name_is_told_from_a_path(name: str, hub: bool) -> None:
    assert is_hub_id(name) is hub


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            hub_error(errors.EntryNotFoundError, "none"),
            r"has no file .m\.Q8_0\.gguf.; see https://huggingface",
        ),
        (hub_error(errors.RepositoryNotFoundError, "none"), "check the spelling"),
    ],
)
def test_a_file_that_is_not_there_is_one_sentence(
    error: Exception, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> str:
        raise error

    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", refuse)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", refuse)
    for opening in (find_model, open_source):
        with pytest.raises(ModelError, match=sentence) as caught:
            opening(MODEL)
        assert "\n" not in str(caught.value)


def test_a_repository_of_gguf_files_says_how_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> str:
        raise hub_error(errors.EntryNotFoundError, "none")

    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", refuse)
    with pytest.raises(ModelError, match=r"or one GGUF file of it as org/m-GGUF:FILE.gguf"):
        find_model("org/m-GGUF")


def test_one_part_of_a_model_is_refused(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "m.gguf", {"general.architecture": "qwen2", "split.count": 3}, {})
    with pytest.raises(ModelError, match="is one of 3 parts of a model; join them"):
        open_source(str(path))
