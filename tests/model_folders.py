"""Small model folders on disk, whole or damaged, for tests of what reads them."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from quantbench.sources.architectures import TINY
from quantbench.sources.random_weights import RandomSource

INDEX = "model.safetensors.index.json"


def tiny_config(**changes: Any) -> dict[str, Any]:
    """A configuration of some 20,000 parameters, with `changes`."""
    small = {
        "vocab_size": 64,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "num_hidden_layers": 1,
    }
    return TINY | small | changes


def tiny_source(**changes: Any) -> RandomSource:
    """Random weights in the shape of `tiny_config`."""
    return RandomSource("tiny", tiny_config(**changes), seed=0)


def tiny_tensors(**changes: Any) -> dict[str, torch.Tensor]:
    """All tensors of `tiny_source` by name."""
    source = tiny_source(**changes)
    return {name: source.tensor(name) for name in source.names()}


def write_folder(
    folder: Path, tensors: dict[str, torch.Tensor] | None = None, config: dict[str, Any] | None = None
) -> Path:
    """A model folder with one weight file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(tiny_config() if config is None else config))
    save_file(tiny_tensors() if tensors is None else tensors, folder / "model.safetensors")
    return folder


def write_sharded_folder(folder: Path) -> Path:
    """A model folder with two weight files and their index."""
    tensors = tiny_tensors()
    write_folder(folder, tensors)
    (folder / "model.safetensors").unlink()
    names = list(tensors)
    shards = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, part in shards.items():
        save_file({name: tensors[name] for name in part}, folder / file)
    weight_map = {name: file for file, part in shards.items() for name in part}
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return folder
