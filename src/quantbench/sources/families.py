"""Reads a config.json of a known family: `complete` brings it into one form, the rest asks for its facts.

Missing keys get what transformers takes for them, keys that a family calls otherwise get the common name.
Whoever reads a configuration reads the completed one, and never asks for a family by name. No torch.
"""

from collections.abc import Mapping
from typing import Any

from quantbench.sources.family import Family, Window
from quantbench.sources.family_table import FAMILIES


def family_of(config: Mapping[str, Any]) -> Family | None:
    """The facts of a configuration's family; None where it is not known."""
    kind = config.get("model_type")
    return FAMILIES.get(kind) if isinstance(kind, str) else None


def complete(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration of a known family with its defaults and the common keys; KeyError for another."""
    family = FAMILIES[config["model_type"]]
    given = {key: value for key, value in config.items() if key not in family.ignored}
    if given.get("head_dim", 0) is None:
        del given["head_dim"]
    full = {"rms_norm_eps": 1e-6, "tie_word_embeddings": False} | dict(family.defaults) | given
    for own, common in family.aliases.items():
        if own in full:
            full[common] = full[own]
    return full


def has_bias(config: Mapping[str, Any], bias: bool | str) -> bool:
    """What one of a family's biases means under a completed configuration."""
    return bool(config.get(bias)) if isinstance(bias, str) else bias


def is_sparse(config: Mapping[str, Any], layer: int) -> bool:
    """Whether a layer of a completed configuration has experts."""
    if not FAMILIES[config["model_type"]].experts or layer in (config.get("mlp_only_layers") or ()):
        return False
    return bool((layer + 1) % int(config.get("decoder_sparse_step") or 1) == 0)


def windows_of(config: Mapping[str, Any]) -> tuple[int | None, ...]:
    """A completed configuration's layers: positions that a token sees, itself included; None is all."""
    window, layers = config.get("sliding_window"), int(config["num_hidden_layers"])
    return tuple(window if window and slides(config, layer) else None for layer in range(layers))


def slides(config: Mapping[str, Any], layer: int) -> bool:
    """Whether the window, if there is one, holds for a layer."""
    rule = FAMILIES[config["model_type"]].window
    if rule in (Window.NEVER, Window.ALWAYS):
        return rule is Window.ALWAYS
    if rule is not Window.PATTERN and not config.get("use_sliding_window", False):
        return False
    if rule is Window.ASKED:
        return True
    if types := config.get("layer_types"):
        return bool(types[layer] == "sliding_attention")
    if rule is Window.PATTERN:
        return bool((layer + 1) % int(config["sliding_window_pattern"]))
    first = int(config.get("max_window_layers", 28))
    return layer >= first if rule is Window.LATE else layer % 2 == 0 and layer < first


def rotates(config: Mapping[str, Any], layer: int) -> bool:
    """Whether a layer of a completed configuration turns queries and keys."""
    if not FAMILIES[config["model_type"]].unrotated:
        return True
    if (chosen := config.get("no_rope_layers")) is not None:
        return bool(chosen[layer])
    return bool((layer + 1) % int(config.get("no_rope_layer_interval") or 4))


def parameter_name(config: Mapping[str, Any], stored: str) -> str:
    """Our name of a stored tensor."""
    family = family_of(config)
    for theirs, ours in family.renames if family else ():
        stored = stored.replace(theirs, ours)
    return stored
