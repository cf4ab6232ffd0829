import hashlib
from importlib.resources import files

import pytest
import torch

from quantbench.methods import METHODS, Loaded, LoadSettings, calibrating
from quantbench.methods.calibrating import TOKENS, WINDOW, calibrate, windows
from quantbench.sources import open_source
from tests.model_folders import tiny_source

TEXT = (files("quantbench.assets") / "calibration.txt").read_bytes()


def load(method: str, source: object) -> Loaded:
    settings = LoadSettings(device="cpu", dtype="float32", threads=1)
    return METHODS[method].load(source, settings)  # type: ignore[arg-type]


def test_the_text_that_was_run_is_recorded_by_its_hash() -> None:
    found = calibrate(open_source("builtin"), "cpu").calibration
    assert found is not None
    assert found.sha256 == hashlib.sha256(TEXT).hexdigest()
    assert found.tokens == TOKENS


def test_windows_are_the_beginning_of_the_text_without_gaps() -> None:
    found = windows(open_source("builtin"), TEXT.decode())
    assert [len(window) for window in found] == [WINDOW] * (TOKENS // WINDOW)


def test_a_model_without_a_tokenizer_is_told_to_be_uncalibrated() -> None:
    loaded = load("int4", tiny_source(hidden_size=128))
    assert loaded.calibration is None
    assert loaded.warnings[0].startswith("not calibrated, since the model has no tokenizer")


def test_without_calibration_no_text_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibrating, "windows", lambda *_: pytest.fail("a text was read"))
    assert load("int4-nocal", tiny_source(hidden_size=128)).calibration is None


def test_calibrated_weights_differ_from_uncalibrated_ones_and_are_the_same_every_time() -> None:
    source = open_source("builtin")
    held = [
        dict(load(method, source).decoder.resident_tensors())["model.layers.0.mlp.down_proj.weight:packed"]
        for method in ("int4", "int4", "int4-nocal")
    ]
    assert torch.equal(held[0], held[1])
    assert not torch.equal(held[0], held[2])
