"""Reading a config.json: what changes numbers is read or refused by name."""

from typing import Any

import pytest
import transformers

from quantbench.engine.config import read_config, unsupported
from quantbench.errors import ModelError
from quantbench.sources.family_table import FAMILIES
from tests.engine.models import SHAPE, VARIANTS

DYNAMIC = {"full_attention": {"rope_type": "dynamic", "factor": 2.0}, "sliding_attention": {}}
QWEN = {**SHAPE, "model_type": "qwen2"}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"model_type": "falcon"}, "model_type 'falcon'"),
        ({"architectures": ["Qwen2ForSequenceClassification"]}, "Qwen2ForSequenceClassification"),
        ({"quantization_config": {"quant_method": "quip"}}, "quantized by 'quip'"),
        ({"hidden_act": "mish"}, "hidden_act 'mish'"),
        ({"rope_scaling": {"type": "dynamic", "factor": 2.0}}, "rope_type 'dynamic'"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor is 0.5"),
        ({"rope_parameters": {"full_attention": {}, "sliding_attention": {}}}, "layer to layer"),
        ({"layer_types": ["chunked_attention"] * 2}, "layer_types holds 'chunked_attention'"),
        ({"num_key_value_heads": 3}, "not a multiple of num_key_value_heads 3"),
        ({"mlp_bias": True}, "mlp_bias"),
        ({"model_type": "mistral", "attention_bias": True}, "attention_bias"),
        ({"model_type": "llama", "sliding_window": 5}, "sliding_window"),
        ({"model_type": "gemma3_text", "use_bidirectional_attention": True}, "use_bidirectional_attention"),
        ({"model_type": "gemma3_text", "rope_parameters": DYNAMIC}, "rope_type 'dynamic'"),
        ({"model_type": "smollm3", "layer_types": ["sliding_attention"] * 2}, "sliding_attention"),
        ({"model_type": "smollm3", "no_rope_layers": [1]}, "no_rope_layers has 1 entries for 2 layers"),
        ({"model_type": "gpt_neox", "quantization_config": {"quant_method": "gptq"}}, "head by head"),
        ({"model_type": "granite", "rope_parameters": {"partial_rotary_factor": 0.5}}, "partial_rotary"),
    ],
)
def test_what_would_change_numbers_is_refused_by_name(change: dict[str, Any], named: str) -> None:
    reason = unsupported({**QWEN, **change})
    assert reason is not None
    assert named in reason
    with pytest.raises(ModelError, match="use --engine transformers"):
        read_config({**QWEN, **change})


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_that_is_compared_with_transformers_is_supported(variant: str) -> None:
    assert unsupported({**SHAPE, **VARIANTS[variant]}) is None


@pytest.mark.parametrize("key", ["vocab_size", "hidden_size", "num_hidden_layers"])
def test_a_missing_size_is_named(key: str) -> None:
    config = {name: value for name, value in QWEN.items() if name != key}
    with pytest.raises(ModelError, match=f"lacks a positive '{key}'"):
        read_config(config)


@pytest.mark.parametrize("kind", FAMILIES)
def test_missing_keys_mean_what_they_mean_to_transformers(kind: str) -> None:
    needed = dict.fromkeys(("vocab_size", "hidden_size", "intermediate_size"), 64)
    needed |= {"num_attention_heads": 4, "num_hidden_layers": 30}
    if FAMILIES[kind].defaults.get("num_key_value_heads"):  # which must divide the heads
        needed["num_attention_heads"] = 64
    ours = read_config({"model_type": kind, **needed})
    theirs = transformers.AutoConfig.for_model(kind, **needed)
    heads, window = needed["num_attention_heads"], getattr(theirs, "sliding_window", None)
    types = getattr(theirs, "layer_types", None) or ["sliding_attention"] * 30
    assert ours.kv_heads == (getattr(theirs, "num_key_value_heads", None) or heads)
    assert ours.head_dim == (getattr(theirs, "head_dim", None) or 64 // heads)
    assert ours.norm_eps == (getattr(theirs, "rms_norm_eps", None) or theirs.layer_norm_eps)
    assert ours.max_positions == theirs.max_position_embeddings
    assert ours.windows == tuple((window or None) if t == "sliding_attention" else None for t in types)
    assert ours.tied == theirs.tie_word_embeddings
    rope = theirs.rope_parameters
    both = rope if "full_attention" in rope else {"sliding_attention": rope, "full_attention": rope}
    assert [r.theta for r in ours.ropes] == [both[t]["rope_theta"] for t in types]
    assert ours.activation == (getattr(theirs, "hidden_activation", None) or theirs.hidden_act)
    assert ours.attention_cap == getattr(theirs, "attn_logit_softcapping", None)
    assert ours.logit_cap == getattr(theirs, "final_logit_softcapping", None)
    assert ours.chosen_experts == getattr(theirs, "num_experts_per_tok", 0)
    assert ours.experts_sum_to_one == (kind == "mixtral")


def test_rope_of_older_configurations_reads_like_that_of_newer_ones() -> None:
    scaling = {"factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    scaling["original_max_position_embeddings"] = 8192
    old = {**QWEN, "rope_theta": 5e5, "rope_scaling": {**scaling, "rope_type": "llama3"}}
    new = {**QWEN, "rope_parameters": {**scaling, "rope_type": "llama3", "rope_theta": 5e5}}
    assert read_config(old).rope == read_config(new).rope
    assert read_config(old).rope.kind == "llama3"


def test_a_rope_parameter_that_is_missing_is_named() -> None:
    with pytest.raises(ModelError, match="low_freq_factor"):
        read_config({**QWEN, "rope_parameters": {"rope_type": "llama3", "factor": 2.0}})
