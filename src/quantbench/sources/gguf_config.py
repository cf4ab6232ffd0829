"""A GGUF file's metadata as the config.json of its model.

What each family's files say stands in `gguf_families`, what is done to their tensors in `gguf_tensors`.
"""

import math
from collections.abc import Mapping
from typing import Any

from quantbench.errors import ModelError
from quantbench.sources.family_table import FAMILIES
from quantbench.sources.gguf_families import GGUF_FAMILIES, GgufFamily
from quantbench.sources.gguf_file import GgufTensor
from quantbench.sources.gguf_tensors import SHORT_FACTORS

ENDS = (  # texts of tokens that end an answer, whatever the metadata name, as llama.cpp has it
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<EOT>",
    "_<EOT>",
    "<|eom_id|>",
)
CONTROL = 3  # of tokenizer.ggml.token_type
SCALING = {  # of positions: a file's key -> that of config.json
    "original_context_length": "original_max_position_embeddings",
    "yarn_beta_fast": "beta_fast",
    "yarn_beta_slow": "beta_slow",
}
YARN_UNREAD = {"attn_factor": 1, "yarn_attn_factor": 1, "yarn_ext_factor": 1, "yarn_log_multiplier": 0}


def config_of(metadata: Mapping[str, Any], tensors: Mapping[str, GgufTensor], name: str) -> dict[str, Any]:
    """The config.json that the metadata imply; ModelError for a family or setting that is not read."""
    architecture = str(metadata.get("general.architecture"))
    if architecture not in GGUF_FAMILIES:
        raise ModelError(
            f"'{name}' is a GGUF file of the family '{architecture[:50]}'; those read are "
            f"{', '.join(GGUF_FAMILIES)}: give the model's own folder instead, which transformers may run"
        )
    family, read = GGUF_FAMILIES[architecture], Metadata(metadata, architecture, name)
    embedding = tensors.get("token_embd.weight")
    if embedding is None or len(embedding.shape) != 2:
        raise ModelError(f"'{name}' has no embedding (token_embd.weight); download it again")
    mixed = bool(family.with_experts and read.number("expert_count", 0))
    kind = family.with_experts if mixed and family.with_experts else family.model_type
    config: dict[str, Any] = {
        "architectures": [FAMILIES[kind].architecture],
        "model_type": kind,
        "vocab_size": embedding.shape[0],
        "tie_word_embeddings": "output.weight" not in tensors,
        "hidden_act": "silu",
        "use_sliding_window": False,
        "eos_token_id": end_tokens(metadata),
        **read.common_settings(),
        **family.settings,
        **told_by_tensors(tensors, kind),
        **read.own_settings(family),
    }
    if family.wide_layers:
        wide = config["num_hidden_layers"] == family.wide_layers
        share = config["hidden_size"] // max(1, config["num_attention_heads"])
        config["query_pre_attn_scalar"] = share if wide else config["head_dim"]
    read.refuse(config, family)
    return config | read.positions(config, factors=SHORT_FACTORS in tensors)


def told_by_tensors(tensors: Mapping[str, GgufTensor], kind: str) -> dict[str, Any]:
    """What no metadata say: which biases there are, and, in files of experts' first months, their widths."""
    family, found = FAMILIES[kind], dict[str, Any]()
    if isinstance(family.qkv_bias, str):
        found[family.qkv_bias] = any(f"blk.0.attn_{part}.bias" in tensors for part in ("q", "qkv"))
    if isinstance(family.mlp_bias, str):
        found[family.mlp_bias] = "blk.0.ffn_up.bias" in tensors
    if family.experts and family.aliases.get("intermediate_size") != "moe_intermediate_size":
        for key, module in (
            ("moe_intermediate_size", "ffn_up_exps"),
            ("shared_expert_intermediate_size", "ffn_up_shexp"),
        ):
            stored = tensors.get(f"blk.0.{module}.weight")
            found[key] = stored.shape[-2] if stored and len(stored.shape) > 1 else None
    return found


class Metadata:
    """The metadata of one file, by the names within its family."""

    def __init__(self, metadata: Mapping[str, Any], family: str, name: str) -> None:
        self._metadata, self._family, self._name = metadata, family, name

    def number(self, key: str, default: int | None = None) -> int:
        """A whole number; ModelError where it is missing, or differs from layer to layer."""
        value = self._metadata.get(f"{self._family}.{key}", default)
        if not isinstance(value, int) or isinstance(value, bool):
            raise ModelError(
                f"'{self._name}' lacks the whole number '{self._family}.{key}' in its metadata, or has one "
                "for each layer; give the model's own folder instead"
            )
        return value

    def common_settings(self) -> dict[str, Any]:
        """What the files of all families say, in the words of config.json."""
        heads, hidden = self.number("attention.head_count"), self.number("embedding_length")
        return {
            "hidden_size": hidden,
            "intermediate_size": self.number("feed_forward_length"),
            "num_hidden_layers": self.number("block_count"),
            "num_attention_heads": heads,
            "num_key_value_heads": self.number("attention.head_count_kv", heads),
            "head_dim": self.number("attention.key_length", hidden // max(1, heads)),
            "max_position_embeddings": self.number("context_length"),
            "rms_norm_eps": self._metadata.get(f"{self._family}.attention.layer_norm_rms_epsilon", 1e-6),
            "rope_theta": self._metadata.get(f"{self._family}.rope.freq_base", 10000.0),
        }

    def own_settings(self, family: GgufFamily) -> dict[str, Any]:
        """What the files of a family say beside what all say, in the words of config.json."""
        found = {key: self._metadata.get(f"{self._family}.{stored}") for stored, key in family.reads.items()}
        return {key: value or None for key, value in found.items() if value is not None}

    def refuse(self, config: Mapping[str, Any], family: GgufFamily) -> None:
        """ModelError for what would change numbers and is not read."""
        if self.number("attention.value_length", config["head_dim"]) != config["head_dim"]:
            raise self._unread("attention.value_length")
        usual = {
            "expert_count": 0,
            "expert_gating_func": 1,  # a softmax
            "expert_weights_scale": 1.0,
            "leading_dense_block_count": 0,
            "attention.scale": None,
            "attention.sliding_window": 0,
            "attention.sliding_window_pattern": config.get("sliding_window_pattern"),
        }
        for key, value in usual.items():
            if key not in family.reads and self._metadata.get(f"{self._family}.{key}") not in (
                None,
                0,
                value,
            ):
                raise self._unread(key)

    def positions(self, config: Mapping[str, Any], *, factors: bool) -> dict[str, Any]:
        """Which part of a head is rotated, and the scaling; ModelError for what is not read.

        `factors` says that tensors of the file have those of short and of long texts.
        """
        found: dict[str, Any] = {}
        family, head_dim = FAMILIES[config["model_type"]], config["head_dim"]
        turned = self.number("rope.dimension_count", head_dim)
        if turned != head_dim and (not family.partial_rotary or not 0 < turned < head_dim or turned % 2):
            raise self._unread("rope.dimension_count")
        if family.partial_rotary:
            key = "rotary_pct" if "rotary_pct" in family.aliases else "partial_rotary_factor"
            found[key] = share_of(turned, head_dim)
        if scaling := self.rope_scaling(factors=factors):
            found["rope_scaling"] = scaling
        return found

    def rope_scaling(self, *, factors: bool) -> dict[str, Any] | None:
        """The scaling of positions; ModelError for a kind that is not read."""

        def get(key: str) -> Any:
            return self._metadata.get(f"{self._family}.rope.{key}")

        factor = get("scaling.factor") or get("scale_linear")  # the second in files of llama's first months
        kind = get("scaling.type") or ("linear" if factor not in (None, 1) else "none")
        if kind == "none" or (kind == "longrope" and factors):
            return None
        if kind not in ("linear", "yarn") or not isinstance(factor, float | int):
            raise self._unread("rope.scaling.type")
        scaling: dict[str, Any] = {"rope_type": kind, "factor": float(factor)}
        for key, usual in YARN_UNREAD.items():
            if kind == "yarn" and get(f"scaling.{key}") not in (None, usual):
                raise self._unread(f"rope.scaling.{key}")
        found = {name: get(f"scaling.{key}") for key, name in SCALING.items()}
        return scaling | {name: value for name, value in found.items() if value}

    def _unread(self, key: str) -> ModelError:
        value = self._metadata.get(f"{self._family}.{key}")
        return ModelError(
            f"'{self._name}' sets '{self._family}.{key}' to {str(value)[:50]}, which is not read from GGUF "
            "files; give the model's own folder instead"
        )


def end_tokens(metadata: Mapping[str, Any]) -> list[int]:
    """Tokens that end an answer: those the metadata name, and control tokens whose text says so."""
    found = {
        value
        for key in ("eos", "eot", "eom")
        if isinstance(value := metadata.get(f"tokenizer.ggml.{key}_token_id"), int)
    }
    tokens, kinds = metadata.get("tokenizer.ggml.tokens"), metadata.get("tokenizer.ggml.token_type")
    if isinstance(tokens, list) and isinstance(kinds, list):
        found |= {
            index
            for index, (text, kind) in enumerate(zip(tokens, kinds, strict=False))
            if kind == CONTROL and text in ENDS
        }
    return sorted(found)


def share_of(part: int, whole: int) -> float:
    """A number whose product with the whole is the part when it is cut to an integer."""
    share = part / max(1, whole)
    return share if int(whole * share) == part else math.nextafter(share, 1.0)
