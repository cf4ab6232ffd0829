import hashlib
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from quantbench.methods import METHODS, Loaded, LoadSettings, calibrating
from quantbench.methods.calibrating import (
    OF_MOMENTS,
    OF_SQUARES,
    calibrate,
    uncalibrated,
    unreached_experts,
    windows,
)
from quantbench.sources import open_source
from tests.model_folders import tiny_source

TEXT = (files("quantbench.assets") / "calibration.txt").read_bytes()


SETTINGS = LoadSettings(device="cpu", dtype="float32", threads=1)


def load(method: str, source: object, **changes: object) -> Loaded:
    settings = SETTINGS.model_copy(update=changes)
    return METHODS[method].load(source, settings)  # type: ignore[arg-type]


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """GPTQ by few tokens."""
    monkeypatch.setattr(calibrating, "OF_MOMENTS", replace(OF_MOMENTS, tokens=512))


def test_the_text_that_was_run_is_recorded_by_its_hash() -> None:
    found = calibrate(open_source("builtin"), SETTINGS).calibration
    assert found is not None
    assert found.sha256 == hashlib.sha256(TEXT).hexdigest()
    assert found.tokens == OF_SQUARES.tokens


def test_windows_are_the_beginning_of_the_text_without_gaps() -> None:
    found = windows(open_source("builtin"), TEXT.decode(), OF_SQUARES)
    size = OF_SQUARES.window
    assert [len(window) for window in found] == [size] * (OF_SQUARES.tokens // size)


def test_a_model_without_a_tokenizer_is_told_to_be_uncalibrated() -> None:
    loaded = load("int4", tiny_source(hidden_size=128))
    assert loaded.calibration is None
    assert loaded.warnings[0].startswith("not calibrated, since the model has no tokenizer")


def test_without_calibration_no_text_is_run_but_ids_that_are_always_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(calibrating, "read_text", lambda *_: pytest.fail("a text was read"))
    found = [load("int4-nocal", tiny_source(hidden_size=128)).calibration for _ in range(2)]
    assert found[0] is not None
    assert (found[0].text, found[0].tokens) == (None, calibrating.DRAWN_TOKENS)
    assert found[0] == found[1]


def test_drawn_ids_tell_which_inputs_are_strong() -> None:
    source = open_source("builtin")
    text, drawn = calibrate(source, SETTINGS).squares, calibrating.probe(source, SETTINGS).squares
    assert text.keys() == drawn.keys()
    alike = [float(torch.corrcoef(torch.stack((text[name], drawn[name])).log())[0, 1]) for name in text]
    assert sum(alike) / len(alike) > 0.3


def test_a_model_that_does_not_say_its_vocabulary_is_not_probed_and_that_is_said() -> None:
    found = calibrating.probe(SimpleNamespace(config={}), SETTINGS)  # type: ignore[arg-type]
    assert not found.squares
    assert found.warning == "no token ids were drawn, since the model does not say its vocab_size"


def test_calibrated_weights_differ_from_uncalibrated_ones_and_are_the_same_every_time() -> None:
    source = open_source("builtin")
    held = [
        dict(load(method, source).decoder.resident_tensors())["model.layers.0.mlp.down_proj.weight:packed"]
        for method in ("int4", "int4", "int4-nocal")
    ]
    assert torch.equal(held[0], held[1])
    assert not torch.equal(held[0], held[2])


def test_a_text_by_path_is_read_in_place_of_the_shipped_one_and_recorded(tmp_path: Path) -> None:
    text = tmp_path / "mine.txt"
    text.write_text("def f(x):\n    return x\n" * 40)
    loaded = load("int4", open_source("builtin"), calibration=str(text))
    found = loaded.calibration
    assert found is not None
    assert loaded.warnings[0] == (
        f"calibrated on {found.tokens} tokens, where 2048 are wanted; give a longer text"
    )
    assert (found.text, found.sha256) == ("mine.txt", hashlib.sha256(text.read_bytes()).hexdigest())


def test_the_long_text_is_as_long_as_gptq_wants_it_for_any_tokenizer_at_hand() -> None:
    text = (files("quantbench.assets") / OF_MOMENTS.shipped).read_text()
    assert sum(map(len, windows(open_source("builtin"), text, OF_MOMENTS))) == OF_MOMENTS.tokens
    assert len(text) > 4 * OF_MOMENTS.tokens  # characters a token, of most tokenizers


@pytest.mark.usefixtures("short")
def test_gptq_is_closer_to_the_model_on_its_text_than_calibrated_scales_alone() -> None:
    source = open_source("builtin")
    text = (files("quantbench.assets") / OF_MOMENTS.shipped).read_text()
    texts = windows(source, text, calibrating.OF_MOMENTS)
    exact = list(load("fp32", source).decoder.score(texts))

    def far(method: str) -> float:
        found = load(method, source).decoder.score(texts)
        return float(sum((a - b).square().mean() for a, b in zip(found, exact, strict=True)))

    assert far("int4-gptq-head16") < far("int4-head16")


@pytest.mark.usefixtures("short")
def test_the_record_says_what_a_text_was_for() -> None:
    source = open_source("builtin")
    found = [load(method, source).calibration for method in ("int4", "int4-gptq")]
    assert [one is not None and one.feedback for one in found] == [False, True]


@pytest.mark.usefixtures("short")
def test_gptq_has_the_bytes_and_formats_of_int4() -> None:
    held = [
        {
            name: (tensor.shape, tensor.dtype)
            for name, tensor in load(m, open_source("builtin")).decoder.resident_tensors()
        }
        for m in ("int4", "int4-gptq")
    ]
    assert held[0] == held[1]


def test_experts_that_no_token_reached_are_counted() -> None:
    source = tiny_source(model_type="mixtral", architectures=None, num_local_experts=2)
    reached = {f"model.layers.0.mlp.experts.0.{kind}_proj.weight" for kind in ("gate", "up", "down")}
    assert unreached_experts(source, reached) == 3
    assert uncalibrated(0, 3) == "3 matrices of experts are not calibrated, since no token reached them"
    assert uncalibrated(0, 0) is None
