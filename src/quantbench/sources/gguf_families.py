"""What GGUF files of each `general.architecture` say of a model, and what llama.cpp knows without them.

Keys are those of gguf-py's constants without the family's name before them. What a file cannot say, and
llama.cpp therefore has in its program (the pattern of windows, the activation, whether experts' weights sum
to one), stands here under `settings`, in the words of config.json.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

WINDOW = {"attention.sliding_window": "sliding_window"}
EXPERTS = {
    "expert_count": "num_experts",
    "expert_used_count": "num_experts_per_tok",
    "expert_feed_forward_length": "moe_intermediate_size",
    "expert_shared_feed_forward_length": "shared_expert_intermediate_size",
    "expert_weights_norm": "norm_topk_prob",
}
GELU = {"hidden_activation": "gelu_pytorch_tanh"}


@dataclass(frozen=True, slots=True, kw_only=True)
class GgufFamily:
    """How the files of one architecture say a model."""

    model_type: str  # a key of FAMILIES
    neighbours: bool = False  # rows of queries and keys lie so that neighbours are rotated
    reads: Mapping[str, str] = field(default_factory=dict)  # a file's key -> that of config.json
    settings: Mapping[str, Any] = field(default_factory=dict)  # the same in all files
    wide_layers: int = 0  # the number of layers whose scores are scaled by hidden_size / heads, no head_dim
    with_experts: str | None = None  # the model_type of files that have experts


GGUF_FAMILIES: dict[str, GgufFamily] = {
    "llama": GgufFamily(
        model_type="llama",
        neighbours=True,
        with_experts="mixtral",
        reads={"expert_count": "num_local_experts", "expert_used_count": "num_experts_per_tok"},
    ),
    "qwen2": GgufFamily(model_type="qwen2"),
    "qwen3": GgufFamily(model_type="qwen3"),
    "qwen2moe": GgufFamily(model_type="qwen2_moe", reads=EXPERTS, settings={"norm_topk_prob": False}),
    "qwen3moe": GgufFamily(model_type="qwen3_moe", reads=EXPERTS, settings={"norm_topk_prob": True}),
    "gemma2": GgufFamily(
        model_type="gemma2",
        reads=WINDOW
        | {"attn_logit_softcapping": "attn_logit_softcapping"}
        | {"final_logit_softcapping": "final_logit_softcapping"},
        settings=GELU | {"sliding_window_pattern": 2},
        wide_layers=46,
    ),
    "gemma3": GgufFamily(
        model_type="gemma3_text",
        reads=WINDOW
        | {"final_logit_softcapping": "final_logit_softcapping"}
        | {"rope.freq_base_swa": "rope_local_base_freq"},
        settings=GELU | {"sliding_window_pattern": 6, "rope_local_base_freq": 10_000.0},
        wide_layers=62,
    ),
    "phi3": GgufFamily(
        model_type="phi3",
        reads=WINDOW | {"rope.scaling.original_context_length": "original_max_position_embeddings"},
    ),
    "olmo2": GgufFamily(model_type="olmo2"),
    "smollm3": GgufFamily(model_type="smollm3", neighbours=True, settings={"no_rope_layer_interval": 4}),
    "granite": GgufFamily(
        model_type="granite",
        neighbours=True,
        reads={
            "embedding_scale": "embedding_multiplier",
            "residual_scale": "residual_multiplier",
            "attention.scale": "attention_multiplier",
            "logit_scale": "logits_scaling",
        },
    ),
    "gptneox": GgufFamily(
        model_type="gpt_neox",
        reads={
            "attention.layer_norm_epsilon": "layer_norm_eps",
            "use_parallel_residual": "use_parallel_residual",
            "rope.freq_base": "rotary_emb_base",
        },
        settings={"hidden_act": "gelu"},
    ),
}
NEIGHBOURS = {  # model types of such files
    kind
    for family in GGUF_FAMILIES.values()
    if family.neighbours
    for kind in (family.model_type, family.with_experts)
    if kind
}
