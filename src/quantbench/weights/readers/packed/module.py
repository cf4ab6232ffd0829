"""The stored tensors of one module of a quantized checkpoint."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from quantbench.errors import ModelError
from quantbench.sources import ModelSource

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Module:
    """`model.layers.0.self_attn.q_proj`: its matrix [out, in], and the ends of the names of its tensors."""

    source: ModelSource
    name: str
    shape: tuple[int, int]
    suffixes: frozenset[str]

    def tensor(self, suffix: str) -> "Tensor":
        """One of its tensors; ModelError where it is missing."""
        if suffix not in self.suffixes:
            raise self.unreadable(f"lacks '{suffix}'; get a complete copy of the model")
        return self.source.tensor(f"{self.name}.{suffix}")

    def matrix(self, suffix: str) -> "Tensor":
        """One of its tensors, of two dimensions; ModelError where it has others."""
        tensor = self.tensor(suffix)
        if tensor.dim() != 2:
            raise self.unreadable(
                f"has '{suffix}' in {tensor.dim()} dimensions; get a complete copy of the model"
            )
        return tensor

    def optional(self, suffix: str) -> "Tensor | None":
        """One of its tensors; None where it is not stored."""
        return self.tensor(suffix) if suffix in self.suffixes else None

    def unreadable(self, reason: str) -> ModelError:
        """What is wrong with it, as an error that names it and the way out."""
        way = "" if ";" in reason else "; give the model that it was made from"
        return ModelError(f"'{self.name}' of '{self.source.name}' {reason}{way}")
