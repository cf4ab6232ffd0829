"""What a calibration found serves a method's later passes, is never another's, and stays small."""

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from quantbench.methods import METHODS, LoadSettings, calibrating, kept, mixed
from quantbench.methods.kept import Keeping, keeping, kept_or_made
from quantbench.sources import ModelSource, open_source

SETTINGS = LoadSettings(device="cpu", dtype="float32", threads=1)


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(kept, "user_cache", tmp_path.joinpath)
    for name in ("OF_SQUARES", "OF_MOMENTS"):
        monkeypatch.setattr(calibrating, name, replace(getattr(calibrating, name), tokens=128))
    monkeypatch.setattr(mixed, "OF_GRADIENTS", replace(mixed.OF_GRADIENTS, tokens=64))
    return tmp_path / "calibration"


@pytest.fixture(scope="module")
def builtin() -> ModelSource:
    return open_source("builtin")


def loaded(method: str, source: ModelSource, what: Keeping) -> tuple[dict[str, torch.Tensor], bool]:
    """All tensors, and whether the calibration was taken over."""
    with keeping(what):
        found = METHODS[method].load(source, SETTINGS)
    assert found.calibration is not None
    return dict(found.decoder.resident_tensors()), found.calibration.kept


@pytest.mark.parametrize("method", ["int4-nocal", "mixed-5-gptq"])
def test_a_later_pass_has_the_first_trials_weights_without_its_passes(
    method: str, builtin: ModelSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, taken_over = loaded(method, builtin, Keeping.WRITE)
    assert not taken_over
    monkeypatch.delattr("quantbench.engine.calibration.input_mean_squares")
    monkeypatch.delattr("quantbench.engine.sequential.Sequential")
    monkeypatch.setattr("quantbench.engine.divergence.candidate_divergences", None)
    later, taken_over = loaded(method, builtin, Keeping.READ)
    assert taken_over
    assert first.keys() == later.keys()
    assert all(torch.equal(tensor, later[name]) for name, tensor in first.items())


class Made:
    """Something to keep, and how often it was made."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> dict[str, torch.Tensor]:
        self.times += 1
        return {"squares": torch.arange(4.0)}


def asked(what: Keeping, make: Made, source: ModelSource, settings: LoadSettings = SETTINGS) -> bool:
    with keeping(what):
        return kept_or_made(source, settings, "something", make)[1]


def test_a_first_trial_measures_though_there_is_an_entry(builtin: ModelSource) -> None:
    make = Made()
    assert [asked(Keeping.WRITE, make, builtin) for _ in range(2)] == [False, False]
    assert make.times == 2


def test_nothing_is_written_or_read_unless_a_trial_says_so(builtin: ModelSource, folder: Path) -> None:
    make = Made()
    kept_or_made(builtin, SETTINGS, "something", make)
    assert not folder.exists()
    asked(Keeping.WRITE, make, builtin)
    assert not kept_or_made(builtin, SETTINGS, "something", make)[1]


@pytest.mark.parametrize("at", [0, 40, -1])
def test_a_damaged_entry_is_made_anew(at: int, builtin: ModelSource, folder: Path) -> None:
    make = Made()
    asked(Keeping.WRITE, make, builtin)
    (entry,) = folder.iterdir()
    data = bytearray(entry.read_bytes())
    data[at] ^= 1
    entry.write_bytes(bytes(data))
    assert [asked(Keeping.READ, make, builtin) for _ in range(2)] == [False, True]


def test_other_settings_code_or_model_have_entries_of_their_own(
    builtin: ModelSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = Made()
    asked(Keeping.WRITE, make, builtin)
    assert not asked(Keeping.READ, make, builtin, SETTINGS.model_copy(update={"dtype": "float16"}))
    monkeypatch.setattr(kept, "code_digest", lambda: "of another release")
    assert not asked(Keeping.READ, make, builtin)


def test_a_folder_whose_files_changed_is_another_model(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"one")
    before = kept.files_of(str(tmp_path))
    os.utime(file, ns=(0, 5))
    assert kept.files_of(str(tmp_path)) != before


def test_a_model_that_tells_no_content_is_not_kept(folder: Path) -> None:
    make = Made()
    source = open_source("random:qwen2.5-0.5b")
    assert [asked(what, make, source) for what in (Keeping.WRITE, Keeping.READ)] == [False, False]
    assert not folder.exists()


def test_what_is_larger_than_all_room_is_not_written(
    builtin: ModelSource, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "MOST", 15)
    asked(Keeping.WRITE, Made(), builtin)
    assert not folder.exists()


def test_tensors_that_share_their_memory_count_once() -> None:
    one = torch.arange(4.0)
    assert sum(kept.storages({"a": one, "b": ["Q5_0", one[:2]], "c": torch.ones(2)}).values()) == 24


def test_the_oldest_entries_make_room_and_a_day_ends_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "MOST", 250)
    now = time.time()
    for age, name in ((2 * kept.OLDEST_S, "of yesterday"), (30, "oldest"), (20, "older"), (10, "newest")):
        (tmp_path / name).write_bytes(bytes(100))
        os.utime(tmp_path / name, (now - age, now - age))
    kept.make_room(tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {"older", "newest"}
