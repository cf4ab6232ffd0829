"""A transformers folder: config.json and safetensors, in one file or in shards, as transformers reads it.

Everything that can be checked without reading weights is checked on opening: the files, their headers, and
for known families the names and shapes of all tensors.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantbench.errors import ModelError
from quantbench.sources.config_checks import check_config
from quantbench.sources.layout import count, tensor_shapes
from quantbench.sources.safetensors_file import StoredTensor, read_header, read_tensor, same_values
from quantbench.sources.sampling import sampled_blocks
from quantbench.sources.stored_names import StoredNames, resolve_names
from quantbench.sources.tokenizer_files import tokenizer_files

if TYPE_CHECKING:
    import torch

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
ADAPTER = "adapter_config.json"
FLOATS = frozenset(("F64", "F32", "F16", "BF16"))  # types of tensors that hold weights as they are
HASHED_TEXT = ("config.json", "generation_config.json")


class FolderSource:
    """A ModelSource that reads the files of a folder; its configuration says what the folder really holds."""

    def __init__(
        self, folder: Path, found: "Found", *, name: str, revision: str | None, note: str | None
    ) -> None:
        self.name = name
        self.revision = revision
        self.note = note
        self.config = found.names.config
        self.warnings = found.names.notes
        self.folder: Path | None = folder
        files = {stored.path for stored in found.tensors.values()}
        self.checkpoint_bytes: int | None = sum(path.stat().st_size for path in files)
        self._tensors = found.parameters

    @property
    def tensor_bytes(self) -> int:
        """Of all tensors as the files hold them."""
        return sum(tensor.size for tensor in self._tensors.values())

    @property
    def float_values(self) -> int | None:
        """Values of all tensors; None where some are packed, so that their number is not that of weights."""
        tensors = self._tensors.values()
        packed = self.config.get("quantization_config") or any(t.dtype not in FLOATS for t in tensors)
        return None if packed else sum(count(tensor.shape) for tensor in tensors)

    def names(self) -> list[str]:
        """Names of all parameters, without a head that is tied to the embedding."""
        return list(self._tensors)

    def tensor(self, name: str) -> "torch.Tensor":
        """One tensor on the CPU in its stored dtype."""
        if name not in self._tensors:
            raise ModelError(f"'{self.name}' has no tensor '{name}'; the weights do not fit its config.json")
        return read_tensor(self._tensors[name])


@dataclass(frozen=True, slots=True)
class Found:
    """The stored tensors of a folder by their stored names, and which parameters they are."""

    tensors: dict[str, StoredTensor]
    names: StoredNames

    @property
    def parameters(self) -> dict[str, StoredTensor]:
        """The stored tensors by the parameters that they are."""
        return {parameter: self.tensors[name] for parameter, name in self.names.stored.items()}


def open_folder(
    folder: Path, *, name: str, revision: str | None = None, note: str | None = None
) -> FolderSource:
    """Open and check a folder; its revision is a content hash unless given. ModelError with the fix."""
    config = read_config_file(folder, name)
    tensors = find_tensors(folder, name, config)
    found = Found(tensors, name_tensors(tensors, config, name))
    if not config.get("quantization_config"):
        check_shapes(found.parameters, found.names.config, name)
    return FolderSource(
        folder, found, name=name, revision=revision or content_hash(folder, tensors), note=note
    )


def name_tensors(tensors: Mapping[str, StoredTensor], config: dict[str, Any], name: str) -> StoredNames:
    """Which parameters the stored tensors are; ModelError for a configuration that lacks a size."""
    try:
        return resolve_names(
            list(tensors), config, lambda one, other: same_values(tensors[one], tensors[other])
        )
    except (KeyError, TypeError, ValueError) as error:
        raise lacks(error, name) from None


def lacks(error: Exception, name: str) -> ModelError:
    return ModelError(f"config.json of '{name}' lacks a valid {error}; download or save it again")


def read_config_file(folder: Path, name: str) -> dict[str, Any]:
    """config.json as a dictionary."""
    path = folder / "config.json"
    if (folder / ADAPTER).is_file():
        raise ModelError(
            f"'{name}' holds an adapter ({ADAPTER}), which is not applied; "
            "merge it into its model and save that"
        )
    if not path.is_file():
        raise ModelError(f"'{name}' has no config.json; {_advice(folder, missing='config.json')}")
    config = read_json(path)
    check_config(config, name)
    return config


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; ModelError when the file is something else."""
    try:
        content = json.loads(path.read_bytes())
        json.dumps(content, ensure_ascii=False).encode()  # half a character would end whoever writes it
    except OSError as error:
        raise ModelError(f"cannot read '{path}' ({error.strerror}); check its permissions") from error
    except (ValueError, RecursionError):
        raise ModelError(f"'{path}' is not valid JSON; download or save the model again") from None
    if not isinstance(content, dict):
        raise ModelError(f"'{path}' must hold a JSON object; download or save the model again")
    return content


def find_tensors(folder: Path, name: str, config: Mapping[str, Any]) -> dict[str, StoredTensor]:
    """Every tensor of the file that config.json names, of model.safetensors, or of an index's shards.

    model.safetensors counts before an index beside it, as in transformers.
    """
    named = config.get("transformers_weights")
    for file in [str(named)] if named else [WEIGHTS, INDEX]:
        if inside(folder, file):
            return read_shards(folder, name, file) if file.endswith(".json") else read_header(folder / file)
    raise ModelError(f"'{name}' has no {named or WEIGHTS}; {_advice(folder)}")


def inside(folder: Path, file: str) -> bool:
    """Whether a file of this name is there, in the folder or below it."""
    path = Path(file)
    try:
        return not path.is_absolute() and ".." not in path.parts and (folder / path).is_file()
    except (OSError, ValueError):  # a name that no file can have
        return False


def _advice(folder: Path, missing: str = WEIGHTS) -> str:
    suffixes = {path.suffix for path in folder.iterdir()}
    if suffixes & {".bin", ".pt", ".pth"}:
        return "its weights are pickled: load it with transformers and save_pretrained it as safetensors"
    if ".gguf" in suffixes:
        return "it holds GGUF files: name one of them"
    if missing == WEIGHTS:
        return "give a folder that holds weights"
    return "give a folder saved by transformers' save_pretrained"


def read_shards(folder: Path, name: str, index: str) -> dict[str, StoredTensor]:
    """Every tensor of the files that an index names; ModelError for what it promises and is not there."""
    weight_map = read_json(folder / index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise ModelError(f"'{folder / index}' has no weight_map; download or save the model again")
    tensors: dict[str, StoredTensor] = {}
    for shard in sorted({str(file) for file in weight_map.values()}):
        if not inside(folder, shard):
            raise ModelError(
                f"'{name}' lacks the shard '{shard[:100]}' that {index} names; download it again"
            )
        tensors |= read_header(folder / shard)
    for tensor, shard in weight_map.items():
        if tensor not in tensors:
            raise ModelError(f"'{shard}' lacks '{tensor}' that {index} promises; download '{name}' again")
    return tensors


def check_shapes(tensors: Mapping[str, StoredTensor], config: dict[str, Any], name: str) -> None:
    """ModelError for the first tensor of a known family that is missing or of another shape."""
    try:
        expected = tensor_shapes(config)
    except (KeyError, TypeError, ValueError) as error:
        raise lacks(error, name) from None
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
    for path in [*(folder / name for name in HASHED_TEXT), *tokenizer_files(folder)]:
        digest.update(f"{path.name}\0".encode() + (path.read_bytes() if path.is_file() else b""))
    for name in sorted(tensors):
        stored = tensors[name]
        digest.update(f"{name}\0{stored.dtype}\0{stored.shape}\0{stored.offset}\0".encode())
    for path in sorted({stored.path for stored in tensors.values()}):
        size = path.stat().st_size
        digest.update(f"{path.name}\0{size}\0".encode())
        with path.open("rb") as file:
            for block in sampled_blocks(file, size):
                digest.update(block)
    return f"sha256:{digest.hexdigest()[:16]}"
