"""One pass quantizes all matrices in the order of their use, each by its inputs behind those before it."""

import pytest
import torch
from torch import Tensor

from quantbench.engine import sequential
from quantbench.engine.calibration import input_mean_squares
from quantbench.engine.sequential import Moments, Sequential
from quantbench.errors import ModelError
from quantbench.sources import ModelSource
from quantbench.weights.formats import FloatWeight, Weight
from tests.model_folders import tiny_source

TEXTS = [[1, 5, 9, 20, 33, 2], [7, 3, 3, 40], [11, 12, 13, 14, 15]]


def ran(source: ModelSource, change: float = 1.0) -> tuple[Sequential, dict[str, Moments]]:
    """A pass whose matrices become `change` times themselves, and the moments that it was told."""
    told: dict[str, Moments] = {}

    def quantize(names: list[str], values: list[Tensor], moments: Moments) -> list[Weight]:
        told.update(dict.fromkeys(names, moments))
        return [FloatWeight(value * change) for value in values]

    found = Sequential(source, TEXTS, quantize, device="cpu", dtype=torch.float32)  # type: ignore[arg-type]
    found.run()
    return found, told


@pytest.mark.parametrize("tied", [True, False])
def test_without_any_change_inputs_are_those_of_the_model(tied: bool) -> None:
    source = tiny_source(tie_word_embeddings=tied)
    found, told = ran(source)
    squares = input_mean_squares(source, TEXTS, device="cpu", dtype=torch.float32)
    assert set(told) | set(found.squares) == set(squares)
    for name, moments in told.items():
        assert torch.allclose(moments.hessian.diagonal(), squares[name], rtol=1e-4, atol=1e-7), name
        assert float(moments.pull.abs().max()) == 0, name
    for name, values in found.squares.items():
        assert torch.allclose(values, squares[name], rtol=1e-4, atol=1e-7)


def test_every_matrix_of_the_layers_has_a_weight() -> None:
    source = tiny_source()
    found, _ = ran(source)
    wanted = {name for name in source.names() if "proj.weight" in name}
    assert set(found.weights) == wanted


def test_inputs_behind_changed_matrices_drift_and_the_first_ones_do_not() -> None:
    _, told = ran(tiny_source(), change=0.9)
    assert float(told["model.layers.0.self_attn.q_proj.weight"].pull.abs().max()) == 0
    assert float(told["model.layers.0.mlp.down_proj.weight"].pull.abs().max()) > 0


def test_texts_that_run_in_several_parts_give_the_same_moments(monkeypatch: pytest.MonkeyPatch) -> None:
    source = tiny_source()
    _, together = ran(source, change=0.9)
    monkeypatch.setattr(sequential, "CHUNK", 1)
    _, apart = ran(source, change=0.9)
    for name in together:
        assert torch.allclose(together[name].hessian, apart[name].hessian, rtol=1e-4, atol=1e-7), name
        assert torch.allclose(together[name].pull, apart[name].pull, rtol=1e-4, atol=1e-6), name


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"model_type": "gemma2"}, "norms elsewhere than before attention and MLP"),
        ({"model_type": "mixtral", "num_local_experts": 2}, "experts"),
        ({"model_type": "phi3", "partial_rotary_factor": 0.5}, "heads that are rotated in part"),
    ],
)
def test_layers_that_it_does_not_know_are_refused(changes: dict[str, object], named: str) -> None:
    with pytest.raises(ModelError, match=f"has {named}.*; use int4"):
        ran(tiny_source(architectures=None, **changes))
