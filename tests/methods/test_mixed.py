"""mixed: its bits are those asked for, they go where the pass back says, and more of them lose less."""

import random
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from quantbench.errors import UsageError
from quantbench.methods import METHODS, Loaded, LoadSettings, calibrating, mixed
from quantbench.methods.calibrating import Strengths
from quantbench.methods.mixed import MIXED
from quantbench.settings import Engine
from quantbench.sources import ModelSource, open_source
from quantbench.sources.architectures import ARCHITECTURES
from quantbench.sources.layout import count, matrices_as_held
from tests.model_folders import tiny_source

SETTINGS = LoadSettings(device="cpu", dtype="float32", engine=Engine.NATIVE, threads=1)


@pytest.fixture(autouse=True)
def few_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibrating, "OF_SQUARES", replace(calibrating.OF_SQUARES, tokens=256))
    monkeypatch.setattr(calibrating, "OF_MOMENTS", replace(calibrating.OF_MOMENTS, tokens=256))
    monkeypatch.setattr(mixed, "OF_GRADIENTS", replace(mixed.OF_GRADIENTS, tokens=256))


def load(method: str, source: ModelSource) -> Loaded:
    return METHODS[method].load(source, SETTINGS)


def bits_of(loaded: Loaded, *, without: tuple[str, ...] = ()) -> float:
    """Stored bits a weight of all matrices."""
    held = [matrix for matrix in loaded.decoder.held() if matrix.name not in without]
    return 8 * sum(matrix.nbytes for matrix in held) / sum(matrix.parameters for matrix in held)


@pytest.mark.parametrize("name", ["mixed", "mixed-6-head16"])
def test_its_stored_bits_are_at_most_those_asked_for(name: str) -> None:
    method, loaded = MIXED[name], load(name, open_source("builtin"))
    assert 4.25 < bits_of(loaded, without=tuple(method.kept)) <= method.bits


@pytest.mark.parametrize("name", [name for name in MIXED if "gptq" not in name])
@pytest.mark.parametrize("kind", ["qwen2.5-0.5b", "qwen2.5-7b"])
def test_budgets_of_real_shapes_are_met_within_a_hundredth(
    name: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    method, source = MIXED[name], ARCHITECTURES[kind]
    held = [parts for parts in matrices_as_held(source) if parts[0][0] not in method.kept]
    rng = random.Random(name)

    def losses(*_: object) -> dict[str, list[float]]:
        scales = {parts[0][0]: rng.lognormvariate(0, 1.5) for parts in held}
        return {part: [scale, 0.6 * scale, 0.2 * scale, 0.01 * scale] for part, scale in scales.items()}

    monkeypatch.setattr(mixed.MixedMethod, "_losses", losses)
    places = method._places(SimpleNamespace(name=kind, config=source), SETTINGS, Strengths())  # type: ignore[arg-type]
    nbytes = sum(mixed.bytes_in(places[parts[0][0]], parts) for parts in held)
    bits = 8 * nbytes / sum(count(shape) for parts in held for _, shape in parts)
    assert 0.99 * method.bits < bits <= method.bits


def test_matrices_that_are_held_as_one_have_one_format() -> None:
    source = open_source("builtin")
    held = {matrix.name: matrix for matrix in load("mixed-5", source).decoder.held()}
    for parts in matrices_as_held(source.config):
        assert len({(held[name].format, held[name].group_size) for name, _ in parts}) == 1
    assert {matrix.format for matrix in held.values()} >= {"W4", "Q5_0"}


def test_more_bits_are_closer_to_the_model() -> None:
    source = open_source("builtin")
    text = [list(range(5, 60))]
    (exact,) = load("fp32", source).decoder.score(text)
    far = [
        float((next(iter(load(name, source).decoder.score(text))) - exact).square().mean())
        for name in ("mixed", "mixed-6")
    ]
    assert far[1] < far[0]


def test_matrices_that_cost_more_by_the_pass_back_get_more_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    costly = "model.layers.0.mlp.down_proj.weight"

    def losses(source: ModelSource, *_: object, **__: object) -> dict[str, list[float]]:
        return {
            parts[0][0]: [5.0, 4.0, 3.0, 0.0] if parts[0][0] == costly else [1e-9, 0.0, 0.0, 0.0]
            for parts in matrices_as_held(source.config)
        }

    monkeypatch.setattr("quantbench.engine.divergence.candidate_divergences", losses)
    held = {matrix.name: matrix for matrix in load("mixed-5", open_source("builtin")).decoder.held()}
    assert held[costly].format == "W8"


def test_without_a_tokenizer_bits_go_by_size_and_that_is_said() -> None:
    loaded = load("mixed-5", tiny_source(hidden_size=128, intermediate_size=256, num_hidden_layers=4))
    assert loaded.warnings[0].endswith("since no text could be read")
    assert bits_of(loaded) <= 5


def test_a_budget_below_the_lightest_formats_is_refused_with_their_bits() -> None:
    source = tiny_source(hidden_size=96, intermediate_size=96)  # groups of 32 with 16-bit scales
    with pytest.raises(UsageError, match=r"takes 5\.0+ bits a weight in the lightest .* mixed:bits=5"):
        load("mixed", source)


def test_layers_of_transformers_are_refused() -> None:
    with pytest.raises(UsageError, match="quantbench's engine alone shares out its bits"):
        METHODS["mixed"].load(tiny_source(), SETTINGS.model_copy(update={"engine": Engine.TRANSFORMERS}))


def test_expected_bytes_are_the_budgets() -> None:
    source = open_source("builtin")
    expected = METHODS["mixed-5"].expected_bytes_of(source.config)
    held = sum(tensor.nbytes for _, tensor in load("mixed-5", source).decoder.resident_tensors())
    assert expected is not None
    assert held == pytest.approx(expected, rel=0.02)


def test_gptq_rounds_the_matrices_of_four_and_five_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    source = open_source("builtin")
    monkeypatch.setattr(mixed.MixedMethod, "_losses", lambda *_: {})  # bits by sizes alone
    plain, fed = (
        {
            name: tensor
            for name, tensor in load(method, source).decoder.resident_tensors()
            if ".layers." in name and name.endswith((":packed", ":data", ":q"))
        }
        for method in ("mixed-5", "mixed-5-gptq")
    )
    assert plain.keys() == fed.keys()
    assert {name.rpartition(":")[2] for name in plain} >= {"packed", "data"}
    for name, tensor in plain.items():
        assert torch.equal(tensor, fed[name]) == name.endswith(":q"), name
