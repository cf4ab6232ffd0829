"""A GGUF file as a ModelSource: the model's own names, floats as they are, blocks as their bytes."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantbench.errors import ModelError
from quantbench.sources.config_checks import check_config
from quantbench.sources.ggml_types import FLOATS, GgmlType
from quantbench.sources.gguf_config import config_of
from quantbench.sources.gguf_file import GgufHeader, GgufTensor, read_gguf, read_gguf_tensor
from quantbench.sources.gguf_tensors import (
    LONG_FACTORS,
    ROPE_FACTORS,
    SHORT_FACTORS,
    named_tensors,
    restored,
)
from quantbench.sources.layout import count, tensor_shapes
from quantbench.sources.sampling import sampled_blocks

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer

SUFFIX = ".gguf"
PARTS = "split.count"  # of the metadata of a file that holds a part of a model


class GgufSource:
    """A ModelSource over one GGUF file."""

    def __init__(
        self,
        path: Path,
        header: GgufHeader,
        *,
        name: str,
        config: dict[str, Any],
        revision: str | None = None,
    ) -> None:
        self.name = name
        self.path = path
        self.revision: str | None = revision or content_hash(path, header)
        self.note: str | None = None
        self.warnings: tuple[str, ...] = ()
        self.config = config
        self.folder: Path | None = None
        self.checkpoint_bytes: int | None = path.stat().st_size
        self.metadata = header.metadata
        self._tensors = named_tensors(header.tensors, config["model_type"])

    @property
    def tensor_bytes(self) -> int:
        """Of all tensors as the file holds them."""
        return sum(tensor.size for tensor in self._tensors.values())

    def tensor_bytes_of(self, float_bytes: int) -> int:
        """The same where floats have so many bytes each."""
        return sum(
            float_bytes * count(tensor.shape) if tensor.kind.name in FLOATS else tensor.size
            for tensor in self._tensors.values()
        )

    def names(self) -> list[str]:
        """Names of all tensors, as the model's own checkpoint has them."""
        return list(self._tensors)

    def tensor(self, name: str) -> "torch.Tensor":
        """Floats in their stored type; of a packed tensor its blocks' bytes, uint8 [out, bytes of a row]."""
        return restored(name, read_gguf_tensor(self._stored(name)), self.config)

    def kind(self, name: str) -> GgmlType:
        """How a tensor is stored."""
        return self._stored(name).kind

    def is_packed(self, name: str) -> bool:
        """Whether it is blocks, no floats."""
        return self._stored(name).kind.name not in FLOATS

    def shape(self, name: str) -> tuple[int, ...]:
        """[out, in] in values, whatever it is packed in."""
        return self._stored(name).shape

    def tokenizer(self) -> "Tokenizer | None":
        """Made from the file's own vocabulary; None where it has none."""
        from quantbench.sources.gguf_tokenizer import make_tokenizer

        return make_tokenizer(self.metadata, self.name)

    def _stored(self, name: str) -> GgufTensor:
        if name not in self._tensors:
            raise ModelError(f"'{self.name}' has no tensor '{name}'; download it again")
        return self._tensors[name]


def open_gguf(path: Path, *, name: str, revision: str | None = None) -> GgufSource:
    """Open and check a file; its revision is a content hash unless given. ModelError with the fix."""
    header = read_gguf(path)
    if (parts := header.metadata.get(PARTS, 1)) != 1:
        raise ModelError(
            f"'{name}' is one of {parts} parts of a model; join them with llama-gguf-split --merge"
        )
    config = config_of(header.metadata, header.tensors, name)
    if factors := rope_factors(header):
        config["rope_scaling"] = factors
    check_config(config, name)
    source = GgufSource(path, header, name=name, config=config, revision=revision)
    check_tensors(source)
    return source


def rope_factors(header: GgufHeader) -> dict[str, Any] | None:
    """What tensors say of the scaling of positions, as in config.json; None where none does."""

    def values(name: str) -> Any:
        return read_gguf_tensor(header.tensors[name]).float().tolist()

    if ROPE_FACTORS in header.tensors:
        return {"rope_type": "factors", "factors": values(ROPE_FACTORS)}
    if SHORT_FACTORS not in header.tensors or LONG_FACTORS not in header.tensors:
        return None
    key = f"{header.metadata.get('general.architecture')}.rope.scaling.attn_factor"
    return {
        "rope_type": "longrope",
        "short_factor": values(SHORT_FACTORS),
        "long_factor": values(LONG_FACTORS),
        "attention_factor": header.metadata.get(key),
    }


def check_tensors(source: GgufSource) -> None:
    """ModelError for the first tensor that the metadata imply and the file lacks, or has in another shape."""
    held = set(source.names())
    for name, shape in (tensor_shapes(source.config) or {}).items():
        if name not in held:
            raise ModelError(
                f"'{source.name}' has no tensor '{name}', which its metadata imply; convert it again"
            )
        if source.shape(name) != shape:
            raise ModelError(
                f"'{name}' of '{source.name}' has shape {list(source.shape(name))}, but its metadata imply "
                f"{list(shape)}; convert it again"
            )


def find_gguf(folder: Path, name: str) -> Path | None:
    """The one GGUF file of a folder without a config.json; ModelError where it holds several."""
    if (folder / "config.json").is_file():
        return None
    files = sorted(folder.glob(f"*{SUFFIX}"))
    if len(files) > 1:
        names = ", ".join(file.name for file in files[:4])
        raise ModelError(f"'{name}' holds {len(files)} GGUF files ({names}); name one of them")
    return files[0] if files else None


def content_hash(path: Path, header: GgufHeader) -> str:
    """'sha256:' and 16 digits over the header's bytes, the size, and 64 evenly spaced blocks of 4 KiB."""
    size = path.stat().st_size
    start = min((tensor.offset for tensor in header.tensors.values()), default=size)
    digest = hashlib.sha256(f"{size}\0".encode())
    with path.open("rb") as file:
        digest.update(file.read(start))
        for block in sampled_blocks(file, size):
            digest.update(block)
    return f"sha256:{digest.hexdigest()[:16]}"
