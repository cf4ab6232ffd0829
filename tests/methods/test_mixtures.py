"""The mixture of q4_k_m is llama.cpp's: the types of published files, at widths that fit and that do not."""

from collections import Counter
from typing import Any

import pytest

from quantbench.measure import audit, measure_size
from quantbench.methods import METHODS, LoadSettings
from quantbench.methods.mixtures import q4_k_m
from quantbench.sources.layout import tensor_shapes
from tests.model_folders import tiny_config, tiny_source

MORE = (
    0,
    1,
    2,
    5,
    8,
    11,
    14,
    17,
    20,
    21,
    22,
    23,
)  # of 24 layers, as in Qwen's own file of Qwen2.5-Coder-0.5B


def kinds(config: dict[str, Any]) -> dict[str, str | None]:
    mixture = q4_k_m(config)
    shapes = tensor_shapes(config) or {}
    return {name: mixture(name, shape[1]) for name, shape in shapes.items() if len(shape) == 2}


def config_of(**changes: Any) -> dict[str, Any]:
    return tiny_config(num_hidden_layers=24, **changes)


def test_widths_that_256_does_not_divide_are_those_of_qwens_own_file() -> None:
    config = config_of(hidden_size=896, intermediate_size=4864, tie_word_embeddings=False)
    found = kinds(config)
    assert found["model.embed_tokens.weight"] == "Q5_0"
    assert found["lm_head.weight"] == "Q8_0"
    for layer in range(24):
        more = layer in MORE
        name = f"model.layers.{layer}"
        assert found[f"{name}.self_attn.v_proj.weight"] == ("Q8_0" if more else "Q5_0")
        assert found[f"{name}.mlp.down_proj.weight"] == ("Q6_K" if more else "Q4_K")
        assert found[f"{name}.mlp.gate_proj.weight"] == found[f"{name}.self_attn.q_proj.weight"] == "Q5_0"


def test_other_widths_take_k_blocks_alone() -> None:
    found = kinds(config_of(hidden_size=512, intermediate_size=1024, num_attention_heads=8))
    assert Counter(found.values()) == {"Q4_K": 24 * 5 + 2 * 12, "Q6_K": 1 + 2 * 12}


def test_a_tied_embedding_has_the_heads_type() -> None:
    sizes = {"hidden_size": 512, "intermediate_size": 1024}
    assert kinds(config_of(tie_word_embeddings=True, **sizes))["model.embed_tokens.weight"] == "Q6_K"
    assert kinds(config_of(tie_word_embeddings=False, **sizes))["model.embed_tokens.weight"] == "Q4_K"


def test_a_model_of_80_layers_has_more_bits_in_its_values() -> None:
    config = tiny_config(num_hidden_layers=80, hidden_size=256, intermediate_size=512)
    assert kinds(config)["model.layers.10.self_attn.v_proj.weight"] == "Q5_K"


def test_a_width_that_no_block_divides_stays_at_16_bits() -> None:
    assert q4_k_m(config_of())("model.layers.0.mlp.up_proj.weight", 48) is None


@pytest.mark.parametrize("hidden", [256, 96])
def test_bytes_expected_are_bytes_held(hidden: int) -> None:
    pytest.importorskip("gguf")
    source = tiny_source(
        hidden_size=hidden, intermediate_size=512, num_attention_heads=4, num_key_value_heads=2, head_dim=24
    )
    loaded = METHODS["q4_k_m"].load(source, LoadSettings(device="cpu", dtype="float32", engine="native"))
    held = sum(kind.nbytes for kind in audit(loaded.decoder, source) if kind.matrices)
    vectors = sum(2 * t.numel() for t in map(source.tensor, source.names()) if t.dim() == 1)
    assert held + vectors == METHODS["q4_k_m"].expected_bytes_of(source.config)
    assert measure_size(loaded.decoder, source).kept_layers == ()
