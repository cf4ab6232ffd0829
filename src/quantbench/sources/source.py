"""What an opened model is: the ModelSource protocol. It reads nothing itself."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch


class ModelSource(Protocol):
    """An opened model: its configuration, and its tensors one at a time."""

    name: str  # as the user gave it
    revision: str | None  # hub commit, or a content hash of a folder
    note: str | None  # 'random weights', ...
    warnings: tuple[str, ...]  # what was read otherwise than the configuration says, as sentences
    config: dict[str, Any]  # config.json, its tie_word_embeddings corrected where the files differ
    folder: Path | None  # a transformers folder; None for random weights
    checkpoint_bytes: int | None

    def names(self) -> list[str]:
        """Names of all stored tensors; a tied head is not among them."""
        ...

    def tensor(self, name: str) -> "torch.Tensor":
        """One tensor on the CPU in its stored dtype; the caller drops it when done."""
        ...
