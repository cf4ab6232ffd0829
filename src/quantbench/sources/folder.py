"""A transformers folder: config.json and safetensors, in one file or in shards.

Everything that can be checked without reading weights is checked on opening: the files, their headers, and
for known families the names and shapes of all tensors.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantbench.errors import ModelError
from quantbench.sources.layout import HEAD, is_tied, tensor_shapes
from quantbench.sources.safetensors_file import StoredTensor, read_header, read_tensor

if TYPE_CHECKING:
    import torch

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
HASHED_TEXT = ("config.json", "generation_config.json", "tokenizer.json")
SAMPLES, SAMPLE_BYTES = 64, 4096  # of each weight file, for the content hash


class FolderSource:
    """A ModelSource that reads the files of a folder."""

    def __init__(
        self,
        folder: Path,
        tensors: dict[str, StoredTensor],
        config: dict[str, Any],
        *,
        name: str,
        revision: str | None,
        note: str | None,
    ) -> None:
        self.name = name
        self.revision = revision
        self.note = note
        self.config = config
        self.folder: Path | None = folder
        files = {stored.path for stored in tensors.values()}
        self.checkpoint_bytes: int | None = sum(path.stat().st_size for path in files)
        self._tensors = tensors

    def names(self) -> list[str]:
        """Names of all stored tensors, without a head that is tied to the embedding."""
        tied = is_tied(self.config)
        return [name for name in self._tensors if not (tied and name == HEAD)]

    def tensor(self, name: str) -> "torch.Tensor":
        """One tensor on the CPU in its stored dtype."""
        if name not in self._tensors:
            raise ModelError(f"'{self.name}' has no tensor '{name}'; the weights do not fit its config.json")
        return read_tensor(self._tensors[name])


def open_folder(
    folder: Path, *, name: str, revision: str | None = None, note: str | None = None
) -> FolderSource:
    """Open and check a folder; its revision is a content hash unless given. ModelError with the fix."""
    config = read_config_file(folder, name)
    tensors = find_tensors(folder, name)
    if "quantization_config" not in config:
        check_shapes(tensors, config, name)
    return FolderSource(
        folder,
        tensors,
        config,
        name=name,
        revision=revision or content_hash(folder, tensors),
        note=note,
    )


def read_config_file(folder: Path, name: str) -> dict[str, Any]:
    """config.json as a dictionary."""
    path = folder / "config.json"
    if not path.is_file():
        raise ModelError(f"'{name}' has no config.json; give a folder saved by transformers' save_pretrained")
    return read_json(path)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; ModelError when the file is something else."""
    try:
        content = json.loads(path.read_text())
    except OSError as error:
        raise ModelError(f"cannot read '{path}' ({error.strerror}); check its permissions") from error
    except ValueError:
        raise ModelError(f"'{path}' is not valid JSON; download or save the model again") from None
    if not isinstance(content, dict):
        raise ModelError(f"'{path}' must hold a JSON object; download or save the model again")
    return content


def find_tensors(folder: Path, name: str) -> dict[str, StoredTensor]:
    """Every tensor of model.safetensors, or of the shards that the index names."""
    if (folder / INDEX).is_file():
        return _read_shards(folder, name)
    if (folder / WEIGHTS).is_file():
        return read_header(folder / WEIGHTS)
    raise ModelError(f"'{name}' has no {WEIGHTS}; {_advice(folder)}")


def _advice(folder: Path) -> str:
    suffixes = {path.suffix for path in folder.iterdir()}
    if suffixes & {".bin", ".pt", ".pth"}:
        return "its weights are pickled: load it with transformers and save_pretrained it as safetensors"
    if ".gguf" in suffixes:
        return "GGUF files are not read: give the folder of the original model"
    return "give a folder that holds weights"


def _read_shards(folder: Path, name: str) -> dict[str, StoredTensor]:
    weight_map = read_json(folder / INDEX).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise ModelError(f"'{folder / INDEX}' has no weight_map; download or save the model again")
    tensors: dict[str, StoredTensor] = {}
    for shard in sorted({str(file) for file in weight_map.values()}):
        path = folder / shard
        if Path(shard).name != shard or not path.is_file():
            raise ModelError(f"'{name}' lacks the shard '{shard}' that {INDEX} names; download it again")
        tensors |= read_header(path)
    for tensor, shard in weight_map.items():
        if tensor not in tensors:
            raise ModelError(f"'{shard}' lacks '{tensor}' that {INDEX} promises; download '{name}' again")
    return tensors


def check_shapes(tensors: Mapping[str, StoredTensor], config: dict[str, Any], name: str) -> None:
    """ModelError for the first tensor of a known family that is missing or of another shape."""
    try:
        expected = tensor_shapes(config)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"config.json of '{name}' lacks a valid {error}; download or save it again"
        ) from None
    for tensor, shape in (expected or {}).items():
        if tensor not in tensors:
            raise ModelError(
                f"'{name}' has no tensor '{tensor}'; its weights do not fit its config.json: save both again"
            )
        if tensors[tensor].shape != shape:
            raise ModelError(
                f"'{tensor}' of '{name}' has shape {list(tensors[tensor].shape)}, but config.json implies "
                f"{list(shape)}; save weights and configuration together again"
            )


def content_hash(folder: Path, tensors: Mapping[str, StoredTensor]) -> str:
    """'sha256:' and 16 digits over configuration and tokenizer in full, and over each weight file's size,
    tensor names, types, shapes and offsets, and 64 evenly spaced blocks of 4 KiB.

    Cheap for any size; two checkpoints that differ only between the sampled blocks hash alike.
    """
    digest = hashlib.sha256()
    for name in HASHED_TEXT:
        path = folder / name
        digest.update(f"{name}\0".encode() + (path.read_bytes() if path.is_file() else b""))
    for name in sorted(tensors):
        stored = tensors[name]
        digest.update(f"{name}\0{stored.dtype}\0{stored.shape}\0{stored.offset}\0".encode())
    for path in sorted({stored.path for stored in tensors.values()}):
        size = path.stat().st_size
        digest.update(f"{path.name}\0{size}\0".encode())
        with path.open("rb") as file:
            for index in range(SAMPLES):
                file.seek(max(0, size - SAMPLE_BYTES) * index // (SAMPLES - 1))
                digest.update(file.read(SAMPLE_BYTES))
    return f"sha256:{digest.hexdigest()[:16]}"
