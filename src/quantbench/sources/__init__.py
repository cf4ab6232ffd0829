"""Where weights come from: a hub id, a local folder, the built-in model, random weights of a known shape.

Opening a model reads its configuration and the headers of its files and checks them; weights are read one
tensor at a time, when asked. Nothing here imports torch before a tensor is read, and no code of a model
repository is ever run.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quantbench.errors import ModelError
from quantbench.sources.folder import open_folder
from quantbench.sources.gguf_source import SUFFIX, GgufSource, find_gguf, open_gguf
from quantbench.sources.hub import fetch_file, fetch_snapshot, find_file_on_hub, find_on_hub
from quantbench.sources.random_weights import open_random, placeholder
from quantbench.sources.source import ModelSource
from quantbench.sources.text import eos_ids, load_tokenizer

__all__ = [
    "BUILTIN_FOLDER",
    "ModelSource",
    "eos_ids",
    "find_model",
    "is_hub_id",
    "is_mxfp4",
    "is_quantized",
    "load_tokenizer",
    "open_source",
]

BUILTIN_FOLDER = Path(__file__).parent.parent / "assets" / "quickcoder"
BUILTIN_NOTE = "the built-in model, trained for the built-in task; not comparable with published models"
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")

HUB_FILE = re.compile(rf"(?P<id>{HUB_ID.pattern}):(?P<file>[\w./ -]+\.gguf)", re.IGNORECASE)


def open_source(model: str, *, revision: str | None = None, seed: int = 0) -> ModelSource:
    """Open 'builtin', 'random:NAME', a folder, a GGUF file, a hub id or a GGUF file there ('ID:FILE.gguf').

    ModelError with the fix for what cannot be read.

    `revision` is a hub branch, tag or commit; `seed` draws random weights.
    """
    if not model:
        raise ModelError("no model given; give a hub id, a folder, 'builtin' or 'random:qwen2.5-0.5b'")
    if model == "builtin":
        return open_builtin(seed)
    if model.startswith("random:"):
        return open_random(model, seed=seed)
    if not is_hub_id(model):
        return open_path(model)
    if found := HUB_FILE.fullmatch(model):
        path, commit = fetch_file(found["id"], found["file"], revision)
        return open_gguf(path, name=model, revision=commit)
    folder, commit = fetch_snapshot(model, revision)
    return open_folder(folder, name=model, revision=commit)


def open_path(model: str) -> ModelSource:
    """Open a folder; ModelError says what a path is instead, and what is read."""
    try:
        path = Path(model).expanduser()
        if path.is_dir():
            if file := find_gguf(path, model):
                return open_gguf(file, name=model)
            return open_folder(path, name=model)
        is_file = path.is_file()
    except (OSError, RuntimeError, ValueError) as error:  # too long a name, no such user, a NUL
        raise ModelError(f"'{model[:100]}' cannot be looked up ({error}); check the path") from error
    if is_file and path.suffix.lower() == SUFFIX:
        return open_gguf(path, name=model)
    if is_file:
        raise ModelError(
            f"'{model}' is a file; give a .gguf file, or the folder that holds config.json and *.safetensors"
        )
    raise ModelError(f"there is no folder or file '{model[:200]}', and it is no hub id; check the path")


def is_quantized(source: ModelSource) -> bool:
    """Whether another tool has quantized the source's weights."""
    return isinstance(source, GgufSource) or bool(source.config.get("quantization_config"))


def is_mxfp4(config: Mapping[str, Any]) -> bool:
    """Whether a folder's experts are stored as transformers stores MXFP4 (gpt-oss)."""
    return (config.get("quantization_config") or {}).get("quant_method") == "mxfp4"


def find_model(model: str, *, revision: str | None = None) -> None:
    """Make sure that there is such a model, without fetching weights; ModelError as `open_source` has it."""
    found = HUB_FILE.fullmatch(model)
    if found and is_hub_id(model):
        find_file_on_hub(found["id"], found["file"], revision)
    elif is_hub_id(model):
        find_on_hub(model, revision)
    else:
        open_source(model)


def is_hub_id(model: str) -> bool:
    """Whether a name can only be that of a model of the hub, or of one GGUF file there (ID:FILE.gguf)."""
    of_hub = HUB_ID.fullmatch(model) or HUB_FILE.fullmatch(model)
    if not of_hub or model == "builtin" or model.startswith("random:"):
        return False
    try:
        return not Path(model).exists()
    except (OSError, ValueError):
        return False


def open_builtin(seed: int) -> ModelSource:
    """The model in the package's assets; a tiny random one, labelled as such, where it is missing."""
    if (BUILTIN_FOLDER / "config.json").exists():
        return open_folder(BUILTIN_FOLDER, name="builtin", note=BUILTIN_NOTE)
    return placeholder(seed)
