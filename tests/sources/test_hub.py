import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import errors

from quantbench.errors import ModelError
from quantbench.sources.hub import fetch_snapshot
from tests.model_folders import INDEX, write_folder, write_sharded_folder

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def hub_error(kind: type[Exception], text: str) -> Exception:
    """An error of the library without the HTTP response that its own initialiser asks for."""
    error = kind.__new__(kind)
    Exception.__init__(error, text)
    return error


def fail_with(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(*_: Any, **__: Any) -> str:
        raise error

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)


@pytest.mark.parametrize(
    ("error", "fix"),
    [
        (hub_error(errors.GatedRepoError, "gated"), "accept its conditions .* HF_TOKEN"),
        (hub_error(errors.RepositoryNotFoundError, "none"), "check the spelling"),
        (hub_error(errors.RevisionNotFoundError, "none"), "check --revision"),
        (hub_error(errors.HTTPError, "connection reset"), "connection reset; try again later"),
        (errors.HFValidationError("bad"), "neither a folder nor a hub id"),
        (errors.LocalEntryNotFoundError("none"), "check the network, or give a local folder"),
        (hub_error(errors.HfHubHTTPError, "busy"), "busy; try again later"),
        (OSError(28, "No space left on device"), "No space left on device"),
    ],
)
def test_what_the_hub_refuses_becomes_one_sentence_with_the_fix(
    error: Exception, fix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_with(error, monkeypatch)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    with pytest.raises(ModelError, match=fix) as caught:
        fetch_snapshot("org/model", "main")
    assert "\n" not in str(caught.value)


def run_offline(home: Path, model: str) -> subprocess.CompletedProcess[str]:
    code = (
        "from quantbench.sources import open_source\n"
        f"source = open_source({model!r})\n"
        "print(source.name, source.revision, len(source.names()))"
    )
    environment = os.environ | {"HF_HOME": str(home), "HF_HUB_OFFLINE": "1"}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)


def test_a_cached_model_opens_offline_from_hf_home(tmp_path: Path) -> None:
    cached = tmp_path / "hub" / "models--org--model"
    write_folder(cached / "snapshots" / COMMIT)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(COMMIT)
    assert run_offline(tmp_path, "org/model").stdout.split() == ["org/model", COMMIT, "14"]


@pytest.mark.parametrize("kept", [("config.json",), ("config.json", INDEX, "a.safetensors")])
def test_an_incomplete_download_is_called_one(tmp_path: Path, kept: tuple[str, ...]) -> None:
    snapshot = tmp_path / "hub" / "models--org--model" / "snapshots" / COMMIT
    write_sharded_folder(snapshot)
    for path in snapshot.iterdir():
        if path.name not in kept:
            path.unlink()
    (snapshot.parent.parent / "refs").mkdir()
    (snapshot.parent.parent / "refs" / "main").write_text(COMMIT)
    last = run_offline(tmp_path, "org/model").stderr.strip().splitlines()[-1]
    assert "its download is incomplete" in last and "HF_HUB_OFFLINE" in last


def test_offline_a_model_that_is_not_cached_is_named_with_the_switch(tmp_path: Path) -> None:
    found = run_offline(tmp_path, "org/other")
    last = found.stderr.strip().splitlines()[-1]
    assert "'org/other' is not in the cache and HF_HUB_OFFLINE is set" in last
