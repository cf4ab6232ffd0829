"""Checks the types and the sizes of what config.json holds, so that whoever reads a key may rely on them.

Keys that are not named here pass as they are, and so do null values: they mean 'the default'.
"""

from collections.abc import Callable, Mapping
from typing import Any

from quantbench.errors import ModelError
from quantbench.sources.family_table import FAMILIES

MOST = 2**31 - 1
MOST_LAYERS = 10_000
SIZES = {
    "vocab_size": MOST,
    "hidden_size": MOST,
    "intermediate_size": MOST,
    "num_hidden_layers": MOST_LAYERS,
    "num_attention_heads": MOST,
    "num_key_value_heads": MOST,
    "head_dim": MOST,
    "max_position_embeddings": MOST,
    "sliding_window": MOST,
    "sliding_window_pattern": MOST,
    "original_max_position_embeddings": MOST,
    "no_rope_layer_interval": MOST,
    "num_experts": MOST_LAYERS,
    "num_local_experts": MOST_LAYERS,
    "num_experts_per_tok": MOST_LAYERS,
    "moe_intermediate_size": MOST,
    "decoder_sparse_step": MOST_LAYERS,
}
NUMBERS = (
    "rms_norm_eps",
    "layer_norm_eps",
    "rope_theta",
    "rope_local_base_freq",
    "rotary_emb_base",
    "rotary_pct",
    "partial_rotary_factor",
    "query_pre_attn_scalar",
    "attn_logit_softcapping",
    "final_logit_softcapping",
    "attention_multiplier",
    "embedding_multiplier",
    "residual_multiplier",
    "logits_scaling",
)
OBJECTS = ("rope_scaling", "rope_parameters", "quantization_config")
TEXTS = ("model_type", "hidden_act", "hidden_activation")
LISTS_OF_TEXTS = ("architectures", "layer_types")
LISTS_OF_NUMBERS = ("no_rope_layers", "mlp_only_layers")
ROPE_NUMBERS = (
    "rope_theta",
    "factor",
    "low_freq_factor",
    "high_freq_factor",
    "original_max_position_embeddings",
    "beta_fast",
    "beta_slow",
    "attention_factor",
    "mscale",
    "mscale_all_dim",
)


def check_config(config: Mapping[str, Any], name: str) -> None:
    """ModelError for the first value that cannot be what its key means; sizes are those of known families."""
    rules: list[tuple[tuple[str, ...], Callable[[Any], bool], str]] = [
        (OBJECTS, lambda value: isinstance(value, dict), "an object"),
        (TEXTS, lambda value: isinstance(value, str), "a text"),
        (LISTS_OF_TEXTS, _is_list_of_texts, "a list of texts"),
    ]
    if config.get("model_type") in FAMILIES:
        rules += [((key,), _within(most), f"a whole number from 1 to {most}") for key, most in SIZES.items()]
        rules.append((NUMBERS, is_positive, "a positive number"))
        rules.append((LISTS_OF_NUMBERS, _is_list_of_numbers, "a list of whole numbers"))
    unused = {"sliding_window"} if config.get("use_sliding_window") is False else set()
    _check({key: value for key, value in config.items() if key not in unused or value != 0}, rules, name)
    for key in ("rope_scaling", "rope_parameters"):
        inner = config.get(key) or {}
        texts = (("rope_type", "type"), lambda value: isinstance(value, str), "a text")
        _check(inner, [(ROPE_NUMBERS, is_positive, "a positive number"), texts], name, f"{key}.")


def is_positive(value: Any) -> bool:
    """A finite number above 0 that a float can hold."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e100


def _within(most: int) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most


def _is_list_of_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(entry, str) for entry in value)


def _is_list_of_numbers(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(entry, int) for entry in value)


def _check(
    values: Mapping[str, Any],
    rules: list[tuple[tuple[str, ...], Callable[[Any], bool], str]],
    name: str,
    prefix: str = "",
) -> None:
    for keys, fits, wanted in rules:
        for key in keys:
            value = values.get(key)
            if value is not None and not fits(value):
                raise ModelError(
                    f"'{prefix}{key}' in config.json of '{name}' must be {wanted}, not {shown(value)}; "
                    "download or save the model again"
                )


def shown(value: Any) -> str:
    """A value as JSON has it, cut short; of what may be long its type alone."""
    if isinstance(value, bool | str | int | float) and len(text := str(value)) < 40:
        return f"'{text}'" if isinstance(value, str) else text
    return "an object" if isinstance(value, dict) else "a list" if isinstance(value, list) else "a long value"
