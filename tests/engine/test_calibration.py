"""Mean squares of every matrix's inputs, against hooks in transformers' own models."""

import pytest
import torch
from torch import Tensor

from quantbench.engine.calibration import input_mean_squares
from quantbench.engine.config import read_config
from quantbench.sources.families import parameter_name
from tests.engine.models import VARIANTS, reference_model, source_of

TEXTS = ((3, 1, 4, 1, 5, 9, 2), (6, 5, 3), (5, 8, 9, 7, 9, 3, 2, 3, 8))


def hooked(model: torch.nn.Module) -> dict[str, Tensor]:
    """What transformers feeds to each linear layer, text by text."""
    inputs: dict[str, list[Tensor]] = {}
    handles = [
        module.register_forward_pre_hook(
            lambda _, given, name=name: inputs.setdefault(f"{name}.weight", []).append(
                given[0].flatten(0, -2)
            )
        )
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear)
    ]
    with torch.inference_mode():
        for text in TEXTS:
            model(torch.tensor([text]))
    for handle in handles:
        handle.remove()
    return {name: torch.cat(parts).float().square().mean(dim=0) for name, parts in inputs.items()}


SECOND = ("-interval", "-serial", "e-tied", "2-biases", "moe-window", "mixtral-window", "3-linear")


@pytest.mark.parametrize(
    "variant",
    [pytest.param(v, marks=pytest.mark.long) if v.endswith(SECOND) else v for v in VARIANTS],
)
def test_they_are_those_of_transformers(variant: str) -> None:
    model = reference_model(variant)
    source = source_of(model)
    found, scale = (
        input_mean_squares(source, TEXTS, device="cpu", dtype=torch.float32),
        read_config(source.config).logit_scale,  # which is part of what our head reads
    )
    wanted = {parameter_name(model.config.to_dict(), name): v for name, v in hooked(model).items()}
    if model.config.tie_word_embeddings:
        wanted["model.embed_tokens.weight"] = wanted.pop("lm_head.weight")
    mixtures = (".mlp.experts.", ".mlp.gate.")  # which are no linear layers in transformers
    assert {name for name in found if not any(part in name for part in mixtures)} == wanted.keys()
    wanted["model.embed_tokens.weight" if model.config.tie_word_embeddings else "lm_head.weight"] *= scale**2
    for name, values in wanted.items():
        assert torch.allclose(found[name], values, rtol=1e-4, atol=1e-7), name


def test_inputs_of_experts_are_those_of_the_tokens_that_they_get() -> None:
    model = reference_model("mixtral", num_experts_per_tok=4)
    found = input_mean_squares(source_of(model), TEXTS, device="cpu", dtype=torch.float32)
    router = found["model.layers.0.mlp.gate.weight"]
    for expert in range(4):  # each gets every token
        assert torch.allclose(found[f"model.layers.0.mlp.experts.{expert}.up_proj.weight"], router)


def test_twice_the_same_texts_give_the_same_bits() -> None:
    source = source_of(reference_model("qwen2-tied"))
    one, other = (input_mean_squares(source, TEXTS, device="cpu", dtype=torch.float32) for _ in range(2))
    assert all(torch.equal(one[name], other[name]) for name in one)
