import pytest
import torch

from quantbench.errors import ModelError
from quantbench.sources import random_weights
from quantbench.sources.random_weights import draw, open_random, placeholder

NAME = "model.layers.0.mlp.up_proj.weight"


def test_the_same_seed_and_name_give_the_same_tensor() -> None:
    assert torch.equal(draw(NAME, (8, 16), seed=3), draw(NAME, (8, 16), seed=3))


def test_another_seed_gives_another_tensor() -> None:
    assert not torch.equal(draw(NAME, (8, 16), seed=3), draw(NAME, (8, 16), seed=4))


def test_another_name_gives_another_tensor() -> None:
    assert not torch.equal(draw(NAME, (8, 16), seed=3), draw(NAME.replace("0", "1"), (8, 16), seed=3))


def test_tensors_do_not_depend_on_the_order_in_which_they_are_read() -> None:
    first, second = placeholder(seed=0), placeholder(seed=0)
    backward = {name: second.tensor(name) for name in reversed(second.names())}
    assert all(torch.equal(first.tensor(name), backward[name]) for name in first.names())


def test_a_tensor_does_not_depend_on_the_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random_weights, "BLOCK", 64)
    several = draw(NAME, (16, 20), seed=0)
    monkeypatch.setattr(random_weights.os, "cpu_count", lambda: 1)
    assert torch.equal(draw(NAME, (16, 20), seed=0), several)


def test_weights_have_the_stated_deviation() -> None:
    assert draw(NAME, (400, 400), seed=0).float().std().item() == pytest.approx(0.02, rel=0.02)


def test_norms_are_ones() -> None:
    assert torch.equal(draw("model.norm.weight", (5,), seed=0), torch.ones(5, dtype=torch.bfloat16))


def test_an_unknown_architecture_is_answered_with_a_close_match() -> None:
    with pytest.raises(ModelError, match=r"did you mean 'qwen2\.5-0\.5b'\?"):
        open_random("random:qwen2.5-05b")


def test_capitals_in_the_name_do_not_matter() -> None:
    assert open_random("random:Qwen2.5-0.5B").config["hidden_size"] == 896


def test_the_placeholder_says_that_it_is_random() -> None:
    assert "random weights" in str(placeholder(seed=0).note)


def test_a_tensor_that_is_not_there_is_named() -> None:
    with pytest.raises(ModelError, match=r"no tensor 'nothing'"):
        placeholder(seed=0).tensor("nothing")
