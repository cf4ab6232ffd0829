"""Which stored tensor is which parameter of the model, as transformers 5 reads a checkpoint.

A name may lack the prefix `model.` or carry it once too often; where two stored names mean one parameter,
the first in natural order counts; a tied matrix may be stored under either of its names; and where a
configuration ties the head to the embedding but another head is stored, the stored head is used. Tensors that
another library packed stand beside the parameter that they are parts of ('q_proj.qweight'). Nothing is read
from a file here: whether two tensors are equal is asked of the caller.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from quantbench.sources.families import family_of, parameter_name
from quantbench.sources.layout import EMBEDDING, HEAD, is_tied, tensor_shapes

PREFIX = "model"  # transformers' base_model_prefix of every family that has a layout here
OF_HEAD, OF_EMBEDDING = (name.removesuffix("weight") for name in (HEAD, EMBEDDING))
LONGEST_NUMBER = 4000  # digits that Python turns into a number
COMPUTED = ("rotary_emb.inv_freq",)  # buffers of old checkpoints: computed, not learned


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredNames:
    """`stored` leads from parameters to stored names; `config` is tied exactly where the model is."""

    stored: dict[str, str]
    config: dict[str, Any]
    notes: tuple[str, ...] = ()  # what a reader of the figures should know, as sentences


def resolve_names(
    names: Collection[str], config: Mapping[str, Any], equal: Callable[[str, str], bool]
) -> StoredNames:
    """Stored names by parameter; `equal(one, other)` tells whether two stored tensors hold the same values.

    A family without a known layout keeps its names as they are. KeyError, TypeError or ValueError where the
    configuration lacks a size.
    """
    parameters, family = tensor_shapes({**config, "tie_word_embeddings": False}), family_of(config)
    if parameters is None or family is None:
        return StoredNames(stored={name: name for name in names}, config=dict(config))
    find = part_of if config.get("quantization_config") else parameter_of
    stored: dict[str, str] = {}
    for name in sorted(names, key=natural_order):
        if (parameter := find(parameter_name(config, name), parameters)) is not None:
            stored.setdefault(parameter, name)
    resolved, tie_note = _tie(stored, config, equal)
    used = set(stored.values())
    left = [
        name
        for name in names
        if name not in used
        and not (find(parameter_name(config, name), parameters) or "").startswith(OF_HEAD)
        and not name.endswith((*COMPUTED, *family.computed))
    ]
    notes = [tie_note, _unused_note(left, config)]
    return StoredNames(stored=stored, config=resolved, notes=tuple(note for note in notes if note))


def parameter_of(name: str, parameters: Collection[str]) -> str | None:
    """The parameter that a stored name means; None for one that the model does not have."""
    bare = name[len(PREFIX) + 1 :]
    if name.startswith(PREFIX) and bare in parameters:
        return bare
    if (prefixed := f"{PREFIX}.{name}") in parameters:
        return prefixed
    return name if name in parameters else None


def part_of(name: str, parameters: Collection[str]) -> str | None:
    """The same of a packed checkpoint: a parameter, or a tensor beside it; None where there is none."""
    if (parameter := parameter_of(name, parameters)) is not None:
        return parameter
    module, dot, part = name.rpartition(".")
    while dot:
        if (parameter := parameter_of(f"{module}.weight", parameters)) is not None:
            return parameter.removesuffix("weight") + part
        module, dot, more = module.rpartition(".")
        part = f"{more}.{part}"
    return None


def natural_order(name: str) -> list[tuple[int, str, int]]:
    """A sort key: parts between dots, numbers by value and before words."""
    return [_part_order(part) for part in name.split(".")]


def _part_order(part: str) -> tuple[int, str, int]:
    if part.isdecimal():
        return (0, "", int(part[:LONGEST_NUMBER]))
    word = part.rstrip("0123456789")
    return (1, word, int(part[len(word) :][:LONGEST_NUMBER] or -1))


def _tie(
    stored: dict[str, str], config: Mapping[str, Any], equal: Callable[[str, str], bool]
) -> tuple[dict[str, Any], str | None]:
    """Bring a tied pair of `stored` to what the model holds; the configuration that says so, and a note."""
    resolved, head, embedding = dict(config), _parts(stored, OF_HEAD), _parts(stored, OF_EMBEDDING)
    if not is_tied(config) or not head:
        return resolved, None
    same = head.keys() == embedding.keys() and all(equal(embedding[part], head[part]) for part in head)
    if embedding and not same:
        resolved["tie_word_embeddings"] = False
        return resolved, (
            "config.json ties the head to the embedding, but another head is stored; "
            "the stored one is used, as in transformers"
        )
    for part, name in head.items():
        del stored[OF_HEAD + part]
        stored.setdefault(OF_EMBEDDING + part, name)
    return resolved, None


def _parts(stored: Mapping[str, str], module: str) -> dict[str, str]:
    """A module's stored names by the ends of its parameters'."""
    return {found[len(module) :]: name for found, name in stored.items() if found.startswith(module)}


def _unused_note(left: Iterable[str], config: Mapping[str, Any]) -> str | None:
    names = sorted(left, key=natural_order)
    if not names:
        return None
    counted, were = (
        ("1 stored tensor", "was") if len(names) == 1 else (f"{len(names)} stored tensors", "were")
    )
    return (
        f"{counted} that a {config.get('model_type')} model does not have {were} ignored, as "
        f"in transformers: {', '.join(names[:3])}{', ...' if len(names) > 3 else ''}"
    )
