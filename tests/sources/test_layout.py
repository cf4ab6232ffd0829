from typing import Any

import pytest

from quantbench.engine.config import read_config, unsupported
from quantbench.sources.architectures import ARCHITECTURES
from quantbench.sources.layout import parameter_count, tensor_shapes
from tests.model_folders import tiny_config

PUBLISHED = {  # parameters as the models' own cards and checkpoints give them
    "qwen2.5-0.5b": 494_032_768,
    "qwen2.5-1.5b": 1_543_714_304,
    "qwen2.5-7b": 7_615_616_512,
    "qwen3-0.6b": 596_049_920,
    "llama-3.2-1b": 1_235_814_400,
    "llama-3.1-8b": 8_030_261_248,
    "smollm2-135m": 134_515_008,
    "gemma-2-2b": 2_614_341_888,
    "gemma-3-1b": 999_885_952,
    "phi-3-mini-4k": 3_821_079_552,
    "phi-4": 14_659_507_200,
    "olmo-2-1b": 1_484_916_736,
    "smollm3-3b": 3_075_098_624,
    "granite-3.3-2b": 2_533_539_840,
    "pythia-1.4b": 1_414_647_808,
    "qwen1.5-moe-a2.7b": 14_315_784_192,
    "qwen3-30b-a3b": 30_532_122_624,
    "mixtral-8x7b": 46_702_792_704,
}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_known_architecture_has_the_published_number_of_parameters(name: str) -> None:
    assert parameter_count(ARCHITECTURES[name]) == PUBLISHED[name]
    assert unsupported(ARCHITECTURES[name]) is None
    assert read_config(ARCHITECTURES[name]).vocab_size == ARCHITECTURES[name]["vocab_size"]


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("qwen2", {}),
        ("qwen2", {"tie_word_embeddings": False}),
        ("qwen3", {"head_dim": 48}),
        ("qwen3", {"attention_bias": True}),
        ("llama", {}),
        ("llama", {"attention_bias": True, "mlp_bias": True}),
        ("mistral", {"head_dim": 16}),
    ],
)
def test_names_and_shapes_are_those_of_transformers(kind: str, changes: dict[str, Any]) -> None:
    from transformers import AutoConfig, AutoModelForCausalLM

    config = tiny_config() | {"model_type": kind, "hidden_act": "silu"} | changes
    settings = {key: value for key, value in config.items() if key not in ("model_type", "architectures")}
    import torch

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **settings))
    theirs = {name: tuple(tensor.shape) for name, tensor in model.named_parameters()}
    assert tensor_shapes(config) == theirs


def test_an_unknown_family_has_no_layout() -> None:
    assert tensor_shapes({"model_type": "mamba"}) is None
    assert parameter_count({"model_type": "mamba"}) is None
