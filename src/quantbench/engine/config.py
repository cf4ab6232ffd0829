"""What the engine must know of a model: read from a config.json dictionary, or refused with the reason.

Families: Qwen2, Qwen3, Llama and Mistral. Every key that changes numbers is either read here or makes
`unsupported` name it; keys that cannot change what is computed (dropout, initializers) are ignored.
Defaults for missing keys are those of the transformers configuration class of the family.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from quantbench.engine.activations import ACTIVATIONS
from quantbench.engine.rope import ROPE_TYPES, Rope, read_rope
from quantbench.errors import ModelError
from quantbench.weights.readers.stored import unread_checkpoint

REQUIRED = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFamily:
    """How one architecture differs from the others."""

    architecture: str
    max_positions: int  # when the configuration does not say
    qkv_bias: bool | None  # None: the key attention_bias decides, for the output projection too
    mlp_bias: bool  # whether the key mlp_bias is known
    qk_norm: bool
    head_dim: int | None  # when the configuration does not say; None is hidden_size / heads
    window: str  # 'never', 'always' (sliding_window alone decides), 'asked' (use_sliding_window decides)


FAMILIES = {
    "qwen2": ModelFamily(
        architecture="Qwen2ForCausalLM",
        max_positions=32768,
        qkv_bias=True,
        mlp_bias=False,
        qk_norm=False,
        head_dim=None,
        window="asked",
    ),
    "qwen3": ModelFamily(
        architecture="Qwen3ForCausalLM",
        max_positions=32768,
        qkv_bias=None,
        mlp_bias=False,
        qk_norm=True,
        head_dim=128,
        window="asked",
    ),
    "llama": ModelFamily(
        architecture="LlamaForCausalLM",
        max_positions=2048,
        qkv_bias=None,
        mlp_bias=True,
        qk_norm=False,
        head_dim=None,
        window="never",
    ),
    "mistral": ModelFamily(
        architecture="MistralForCausalLM",
        max_positions=131072,
        qkv_bias=False,
        mlp_bias=False,
        qk_norm=False,
        head_dim=None,
        window="always",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """One model's shape; lengths in elements, positions in tokens."""

    family: str  # a key of FAMILIES
    architecture: str
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    norm_eps: float
    activation: str  # a key of ACTIVATIONS
    qkv_bias: bool
    out_bias: bool  # of the attention's output projection
    mlp_bias: bool
    qk_norm: bool  # RMS norm of every query and key head before the rotation
    tied: bool  # the head is the embedding
    max_positions: int
    windows: tuple[int | None, ...]  # a layer: positions that a token sees, itself included; None is all
    rope: Rope

    @property
    def groups(self) -> int:
        """Query heads that share a key-value head."""
        return self.heads // self.kv_heads

    @property
    def q_size(self) -> int:
        return self.heads * self.head_dim

    @property
    def kv_size(self) -> int:
        return self.kv_heads * self.head_dim


def unsupported(config: Mapping[str, Any]) -> str | None:
    """Why the engine cannot run this configuration, as a phrase that names the key; None when it can."""
    family = FAMILIES.get(str(config.get("model_type")))
    if family is None:
        known = ", ".join(FAMILIES)
        return f"model_type '{config.get('model_type')}' is not among {known}"
    architectures = config.get("architectures") or [family.architecture]
    body = family.architecture.replace("ForCausalLM", "Model")  # saved without a head, which may be tied
    if family.architecture not in architectures and body not in architectures:
        return f"architecture '{architectures[0]}' is not {family.architecture}"
    if unread := unread_checkpoint(config):
        return unread
    activation = config.get("hidden_act", "silu")
    if activation not in ACTIVATIONS:
        return f"hidden_act '{activation}' is not among {', '.join(ACTIVATIONS)}"
    return _unsupported_attention(config, family) or _unsupported_rope(config)


def _unsupported_attention(config: Mapping[str, Any], family: ModelFamily) -> str | None:
    if family.qkv_bias is False and config.get("attention_bias"):
        return "attention_bias is set, which this family does not have"
    if not family.mlp_bias and config.get("mlp_bias"):
        return "mlp_bias is set, which this family does not have"
    if family.window == "never" and config.get("sliding_window"):
        return "sliding_window is set, which this family does not have"
    known = {"full_attention", "sliding_attention"}
    if other := set(config.get("layer_types") or ()) - known:
        return f"layer_types holds '{min(other)}'"
    if family.window != "asked" and "sliding_attention" in (config.get("layer_types") or ()):
        return "layer_types holds 'sliding_attention', which this family does not have"
    heads, kv_heads = config.get("num_attention_heads"), config.get("num_key_value_heads")
    if heads and kv_heads and heads % kv_heads:
        return f"num_attention_heads {heads} is not a multiple of num_key_value_heads {kv_heads}"
    return None


def _unsupported_rope(config: Mapping[str, Any]) -> str | None:
    rope = config.get("rope_scaling") or config.get("rope_parameters") or {}
    if any(isinstance(value, dict) for value in rope.values()):
        return "rope_parameters differ from layer to layer"
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind not in ROPE_TYPES:
        return f"rope_type '{kind}' is not among {', '.join(ROPE_TYPES)}"
    partial = rope.get("partial_rotary_factor", config.get("partial_rotary_factor"))
    if partial not in (None, 1, 1.0):
        return f"partial_rotary_factor is {partial}"
    return None


def read_config(config: Mapping[str, Any]) -> ModelConfig:
    """The engine's view of a configuration; ModelError for what it cannot run or what is missing."""
    if reason := unsupported(config):
        raise ModelError(f"the native engine cannot run this model: {reason}; use --engine transformers")
    for key in REQUIRED:
        if not isinstance(config.get(key), int) or config[key] < 1:
            raise ModelError(
                f"the model's config.json lacks a positive '{key}'; get a complete copy of the model folder"
            )
    name = str(config["model_type"])
    family = FAMILIES[name]
    heads = config["num_attention_heads"]
    head_dim = config.get("head_dim") or family.head_dim or config["hidden_size"] // heads
    bias = bool(config.get("attention_bias", False)) if family.qkv_bias is None else family.qkv_bias
    max_positions = config.get("max_position_embeddings", family.max_positions)
    return ModelConfig(
        family=name,
        architecture=family.architecture,
        vocab_size=config["vocab_size"],
        hidden_size=config["hidden_size"],
        intermediate_size=config["intermediate_size"],
        layers=config["num_hidden_layers"],
        heads=heads,
        kv_heads=_kv_heads(config, name),
        head_dim=head_dim,
        norm_eps=float(config.get("rms_norm_eps", 1e-6)),
        activation=config.get("hidden_act", "silu"),
        qkv_bias=bias,
        out_bias=bias and family.qkv_bias is None,
        mlp_bias=family.mlp_bias and bool(config.get("mlp_bias", False)),
        qk_norm=family.qk_norm,
        tied=bool(config.get("tie_word_embeddings", False)),
        max_positions=max_positions,
        windows=_windows(config, family),
        rope=read_rope(config, head_dim=head_dim, max_positions=max_positions),
    )


def _kv_heads(config: Mapping[str, Any], family: str) -> int:
    """Missing means 8 for Mistral, 32 for Qwen, as many as heads for Llama; null means as many as heads."""
    heads = int(config["num_attention_heads"])
    missing = {"mistral": 8, "qwen2": 32, "qwen3": 32}.get(family, heads)
    return int(config.get("num_key_value_heads", missing) or heads)


def _windows(config: Mapping[str, Any], family: ModelFamily) -> tuple[int | None, ...]:
    layers = int(config["num_hidden_layers"])
    window = config.get("sliding_window", 4096)
    if family.window == "always":
        return (window,) * layers
    if family.window == "never" or not config.get("use_sliding_window", False) or window is None:
        return (None,) * layers
    first = config.get("max_window_layers", 28)
    types = config.get("layer_types") or [
        "sliding_attention" if layer >= first else "full_attention" for layer in range(layers)
    ]
    return tuple(window if kind == "sliding_attention" else None for kind in types)
