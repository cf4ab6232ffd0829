"""Model folders as people have them: every way of storing the same weights that transformers 5 reads.

Each function changes the tensors and the configuration of a small model before they are written, or writes
them in another way; `FOLDERS` names them all.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

Tensors = dict[str, Tensor]
Write = Callable[[Path, Tensors, dict[str, Any]], None]
EMBEDDING, HEAD, NORM = "model.embed_tokens.weight", "lm_head.weight", "model.norm.weight"
UP = "model.layers.0.mlp.up_proj.weight"


def save(folder: Path, tensors: Tensors, config: dict[str, Any]) -> None:
    """One file and its configuration."""
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))


def other(tensor: Tensor) -> Tensor:
    """Other values of the same shape and type."""
    return (tensor.float().flip(0) * 0.5 + 0.1).to(tensor.dtype).contiguous()


def configured(**changes: Any) -> Write:
    """The same weights under a changed configuration; None takes a key out."""

    def write(folder: Path, tensors: Tensors, config: dict[str, Any]) -> None:
        kept = {key: value for key, value in (config | changes).items() if changes.get(key, 0) is not None}
        save(folder, tensors, kept)

    return write


def stored(change: Callable[[Tensors], Tensors], **settings: Any) -> Write:
    """Changed tensors under a configuration with `settings`."""

    def write(folder: Path, tensors: Tensors, config: dict[str, Any]) -> None:
        save(folder, change(dict(tensors)), config | settings)

    return write


def tied(change: Callable[[Tensors], Tensors] = lambda tensors: tensors) -> Write:
    """Tied by the configuration; the head is what `change` makes of tensors without one."""

    def without_head(tensors: Tensors) -> Tensors:
        del tensors[HEAD]
        return change(tensors)

    return stored(without_head, tie_word_embeddings=True)


def renamed(rename: Callable[[str], str], tensors: Tensors) -> Tensors:
    return {rename(name): tensor for name, tensor in tensors.items()}


def bare(name: str) -> str:
    return name.removeprefix("model.")


def head_alone(tensors: Tensors) -> Tensors:
    tensors[HEAD] = tensors.pop(EMBEDDING)
    return tensors


def twice(tensors: Tensors) -> Tensors:
    """Every parameter under both names, with unlike values."""
    return tensors | {bare(name): other(tensor) for name, tensor in tensors.items() if name != HEAD}


def shards(
    folder: Path, tensors: Tensors, config: dict[str, Any], place: str = "", index: str | None = None
) -> None:
    """Two files and their index; the second also holds another version of what the first holds last."""
    names = list(tensors)
    parts = [names[: len(names) // 2], names[len(names) // 2 :]]
    files = [f"{place}model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    (folder / place).mkdir(exist_ok=True)
    for file, part in zip(files, parts, strict=True):
        save_file({name: tensors[name].contiguous() for name in part}, folder / file)
    weight_map = {name: file for file, part in zip(files, parts, strict=True) for name in part}
    content = {"metadata": {"total_size": 1}, "weight_map": weight_map}
    (folder / (index or "model.safetensors.index.json")).write_text(json.dumps(content))
    (folder / "config.json").write_text(json.dumps(config))


def in_subfolder(folder: Path, tensors: Tensors, config: dict[str, Any]) -> None:
    shards(folder, tensors, config, place="parts/")


def stale_index(folder: Path, tensors: Tensors, config: dict[str, Any]) -> None:
    """Old shards with their index, and a newer single file."""
    shards(folder, {name: other(tensor) for name, tensor in tensors.items()}, config)
    save(folder, tensors, config)


def stale_index_without_shards(folder: Path, tensors: Tensors, config: dict[str, Any]) -> None:
    stale_index(folder, tensors, config)
    for path in folder.glob("model-*"):
        path.unlink()


def in_two_shards(folder: Path, tensors: Tensors, config: dict[str, Any]) -> None:
    """One tensor in both shards, with unlike values."""
    shards(folder, tensors, config)
    last = folder / "model-00002-of-00002.safetensors"
    half = {name: tensors[name].contiguous() for name in list(tensors)[len(tensors) // 2 :]}
    save_file(half | {EMBEDDING: other(tensors[EMBEDDING])}, last)


def named_file(folder: Path, tensors: Tensors, config: dict[str, Any]) -> None:
    """The configuration names the file; model.safetensors is another one."""
    save(folder, tensors, config)
    (folder / "model.safetensors").rename(folder / "mine.safetensors")
    save(
        folder,
        {name: other(tensor) for name, tensor in tensors.items()},
        config | {"transformers_weights": "mine.safetensors"},
    )


def named_index(folder: Path, tensors: Tensors, config: dict[str, Any]) -> None:
    index = "mine.safetensors.index.json"
    shards(folder, tensors, config | {"transformers_weights": index}, index=index)


def unused(tensors: Tensors) -> Tensors:
    """With what no model of these families has."""
    more = {name.replace("layers.1.", "layers.2."): tensor.clone() for name, tensor in tensors.items()}
    extra = {
        "model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4),
        "model.layers.0.self_attn.q_norm.scale": torch.ones(4),
        "vision.weight": torch.ones(2, 2),
    }
    return more | tensors | extra


def base_model(**settings: Any) -> Write:
    """As the model without a head is saved."""

    def write(folder: Path, tensors: Tensors, config: dict[str, Any]) -> None:
        name = config["architectures"][0].replace("ForCausalLM", "Model")
        tied(lambda left: renamed(bare, left))(folder, tensors, config | {"architectures": [name]} | settings)

    return write


def without(name: str, **settings: Any) -> Write:
    return stored(lambda tensors: {key: value for key, value in tensors.items() if key != name}, **settings)


def typed(**dtypes: torch.dtype) -> Callable[[Tensors], Tensors]:
    """Tensors whose names hold a word as its type."""

    def change(tensors: Tensors) -> Tensors:
        return {
            name: tensor.to(next((kind for word, kind in dtypes.items() if word in name), tensor.dtype))
            for name, tensor in tensors.items()
        }

    return change


HALF, BRAIN, DOUBLE = torch.float16, torch.bfloat16, torch.float64
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16, "rope_theta": 1e4}
FOLDERS: dict[str, Write] = {
    "plain": save,
    "tied": tied(),
    "tied, only the head stored": tied(head_alone),
    "tied, the same head stored": tied(lambda t: t | {HEAD: t[EMBEDDING].clone()}),
    "tied, another head stored": tied(lambda t: t | {HEAD: other(t[EMBEDDING])}),
    "tied, one value of the head differs": tied(lambda t: t | {HEAD: t[EMBEDDING] + one_value(t[EMBEDDING])}),
    "tied, the same head in another type": tied(
        lambda t: typed(embed=BRAIN)(t) | {HEAD: t[EMBEDDING].to(BRAIN).float()}
    ),
    "tied, only the head stored, behind a prefix": tied(
        lambda t: renamed(lambda name: name.replace("lm_head", "model.lm_head"), head_alone(t))
    ),
    "tied, names without the prefix": tied(lambda t: renamed(bare, t)),
    "tied, another head, names without the prefix": tied(
        lambda t: renamed(bare, t | {HEAD: other(t[EMBEDDING])})
    ),
    "names without the prefix": stored(lambda t: renamed(bare, t)),
    "the prefix twice": stored(lambda t: renamed(lambda name: f"model.{name}", t)),
    "both names": stored(twice),
    "the head behind the prefix": stored(
        lambda t: renamed(lambda n: n.replace("lm_head", "model.lm_head"), t)
    ),
    "a foreign prefix": stored(lambda t: renamed(lambda name: f"module.{name}", t)),
    "tensors that are not used": stored(unused),
    "shards": shards,
    "shards in a subfolder": in_subfolder,
    "a stale index": stale_index,
    "a stale index without its shards": stale_index_without_shards,
    "one tensor in two shards": in_two_shards,
    "a file named by the configuration": named_file,
    "an index named by the configuration": named_index,
    "several types": stored(typed(norm=HALF, mlp=BRAIN, embed=DOUBLE)),
    "a base model": base_model(),
    "no architectures": configured(architectures=None),
    "no tie_word_embeddings": configured(tie_word_embeddings=None),
    "quantization_config null": stored(lambda tensors: tensors, quantization_config=None),
    "rope in the old form": configured(
        rope_parameters=None, rope_theta=500.0, rope_scaling={"type": "linear", "factor": 2.0}
    ),
    "rope in the new form": configured(rope_parameters=YARN),
    "no head": without(HEAD),
    "no norm": without(NORM),
    "no layer matrix": without(UP),
    "a head of another height": stored(lambda t: t | {HEAD: t[HEAD][:50].clone()}),
    "tied, a head of another height": tied(lambda t: t | {HEAD: t[EMBEDDING][:50].clone()}),
}


def one_value(tensor: Tensor) -> Tensor:
    """Zeros but for the last value."""
    change = torch.zeros_like(tensor)
    change[-1, -1] = 1.0
    return change
