"""What the engine must know of a model: read from a config.json dictionary, or refused with the reason.

What tells families apart stands in `sources.families`. Every key that changes numbers is either read here or
makes `unsupported` name it; keys that cannot change what is computed (dropout, initializers) are ignored.
Defaults for missing keys are those of the transformers configuration class of the family.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from quantbench.engine.activations import ACTIVATIONS
from quantbench.engine.rope import ROPE_TYPES, Rope, layer_ropes, rope_settings
from quantbench.errors import ModelError
from quantbench.sources.families import complete, has_bias, windows_of
from quantbench.sources.family import TYPED, Family, HeadNorm, Window
from quantbench.sources.family_table import FAMILIES
from quantbench.sources.layout import head_dim_of, kv_heads_of

REQUIRED = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
REQUIRED_OF_EXPERTS = ("num_experts", "moe_intermediate_size", "num_experts_per_tok")
MLP_WIDTHS = ("intermediate_size", "moe_intermediate_size", "shared_expert_intermediate_size")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """One model's shape and arithmetic; lengths in elements, positions in tokens."""

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
    ropes: tuple[Rope, ...]  # a layer's rotation
    mlp_widths: tuple[int, ...]  # of all kinds of MLPs: dense, experts', the shared expert's
    gated: bool = True  # the MLP has gates
    parallel: bool = False  # attention and MLP of a layer read the same states
    centered_norms: bool = False  # LayerNorm instead of RMS norm
    norm_offset: float = 0.0  # added to stored norm weights
    embedding_scale: float = 1.0  # of the rows that are looked up
    residual_scale: float = 1.0  # of what attention and MLP add
    logit_scale: float = 1.0
    attention_cap: float | None = None  # scores s become cap * tanh(s / cap)
    logit_cap: float | None = None
    chosen_experts: int = 0  # of a token, in layers that have experts
    experts_sum_to_one: bool = False  # weights of the chosen experts are divided by their sum

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

    def is_long(self, length: int) -> bool:
        """Whether a text of so many tokens is rotated otherwise than shorter ones."""
        return any(rope.is_long(length) for rope in self.ropes)

    def runs_alike(self, texts: Sequence[Sequence[int]]) -> Iterator[list[int]]:
        """The places of texts in runs, as they lie, in each of which all are rotated alike."""
        for _, run in groupby(range(len(texts)), key=lambda place: self.is_long(len(texts[place]))):
            yield list(run)

    @property
    def rope(self) -> Rope:
        """The rotation of all layers, where they have one; else of the first."""
        return self.ropes[0]


def why_unread(config: Mapping[str, Any]) -> str | None:
    """`unread_checkpoint`; what packed matrices are is known to torch alone, which other plans do without."""
    from quantbench.weights.readers.stored import unread_checkpoint

    return unread_checkpoint(config)


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
    if config.get("quantization_config") and (unread := why_unread(config)):
        return unread
    if config.get("quantization_config") and family.interleaved:
        return "its queries, keys and values lie head by head, which is not read from quantized checkpoints"
    full = complete(config)
    activation = full.get("hidden_act", "silu")
    if activation not in ACTIVATIONS:
        return f"hidden_act '{activation}' is not among {', '.join(ACTIVATIONS)}"
    return _unsupported_attention(full, family) or _unsupported_rope(full, family)


def _unsupported_attention(config: Mapping[str, Any], family: Family) -> str | None:
    if key := next((key for key in family.refused if config.get(key)), None):
        return f"{key} is set, which is not read"
    if family.qkv_bias is False and config.get("attention_bias"):
        return "attention_bias is set, which this family does not have"
    if family.mlp_bias is False and config.get("mlp_bias"):
        return "mlp_bias is set, which this family does not have"
    if family.window is Window.NEVER and config.get("sliding_window"):
        return "sliding_window is set, which this family does not have"
    types, known = config.get("layer_types") or (), {"full_attention", "sliding_attention"}
    if other := set(types) - known:
        return f"layer_types holds '{min(other)}'"
    if family.window not in TYPED and "sliding_attention" in types:
        return "layer_types holds 'sliding_attention', which this family does not have"
    if short := _too_short(config, types):
        return short
    heads, kv_heads = config.get("num_attention_heads"), config.get("num_key_value_heads")
    if heads and kv_heads and heads % kv_heads:
        return f"num_attention_heads {heads} is not a multiple of num_key_value_heads {kv_heads}"
    return None


def _too_short(config: Mapping[str, Any], types: Any) -> str | None:
    """Why a list with an entry a layer has too few."""
    layers = config.get("num_hidden_layers") or 0
    for key, entries in (("layer_types", types), ("no_rope_layers", config.get("no_rope_layers") or ())):
        if entries and len(entries) < layers:
            return f"{key} has {len(entries)} entries for {layers} layers"
    return None


def _unsupported_rope(config: Mapping[str, Any], family: Family) -> str | None:
    kinds = (True, False) if family.local_rope else (False,)
    for local in kinds:
        rope = rope_settings(config, local=local)
        if any(isinstance(value, dict) for value in rope.values()):
            return "rope_parameters differ from layer to layer"
        kind = rope.get("rope_type", rope.get("type", "default"))
        if kind not in ROPE_TYPES:
            return f"rope_type '{kind}' is not among {', '.join(ROPE_TYPES)}"
        partial = rope.get("partial_rotary_factor", config.get("partial_rotary_factor"))
        if partial not in (None, 1, 1.0) and not family.partial_rotary:
            return f"partial_rotary_factor is {partial}"
    return None


def read_config(config: Mapping[str, Any]) -> ModelConfig:
    """The engine's view of a configuration; ModelError for what it cannot run or what is missing."""
    if reason := unsupported(config):
        raise ModelError(f"quantbench's engine cannot run this model: {reason}; use --engine transformers")
    full = complete(config)
    family = FAMILIES[full["model_type"]]
    for key in (*REQUIRED, *(REQUIRED_OF_EXPERTS if family.experts else ())):
        if not isinstance(full.get(key), int) or full[key] < 1:
            raise ModelError(
                f"the model's config.json lacks a positive '{key}'; get a complete copy of the model folder"
            )
    head_dim, windows = head_dim_of(full), windows_of(full)
    ropes = layer_ropes(full, head_dim=head_dim, windows=windows)
    return ModelConfig(
        family=full["model_type"],
        architecture=family.architecture,
        vocab_size=full["vocab_size"],
        hidden_size=full["hidden_size"],
        intermediate_size=full["intermediate_size"],
        layers=full["num_hidden_layers"],
        heads=full["num_attention_heads"],
        kv_heads=kv_heads_of(full),
        head_dim=head_dim,
        norm_eps=float(full["rms_norm_eps"]),
        activation=full.get("hidden_act", "silu"),
        qkv_bias=has_bias(full, family.qkv_bias),
        out_bias=has_bias(full, family.out_bias),
        mlp_bias=has_bias(full, family.mlp_bias),
        qk_norm=family.head_norm is HeadNorm.HEAD,
        tied=bool(full["tie_word_embeddings"]),
        max_positions=full["max_position_embeddings"],
        windows=windows,
        ropes=ropes,
        mlp_widths=tuple(full[key] for key in MLP_WIDTHS if full.get(key)),
        gated=family.gated,
        parallel=family.parallel is not None and bool(full[family.parallel]),
        centered_norms=family.centered_norms,
        norm_offset=family.norm_offset,
        **_scales(full, family),
    )


def _scales(config: Mapping[str, Any], family: Family) -> dict[str, Any]:
    """Factors and caps that a family reads, and what concerns experts."""
    read = {key: config[key] for key in family.reads if config.get(key) is not None}
    embedding = float(read.get("embedding_multiplier", 1.0))
    return {
        "embedding_scale": config["hidden_size"] ** 0.5 if family.scaled_embedding else embedding,
        "residual_scale": float(read.get("residual_multiplier", 1.0)),
        "logit_scale": 1 / float(read.get("logits_scaling", 1.0)),
        "attention_cap": read.get("attn_logit_softcapping"),
        "logit_cap": read.get("final_logit_softcapping"),
        "chosen_experts": config["num_experts_per_tok"] if family.experts else 0,
        "experts_sum_to_one": bool(config.get("norm_topk_prob", False)),
    }
