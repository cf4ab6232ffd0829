"""Weights made of weights: rows of several formats one after another, and inputs in another order."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Self

from quantbench.sources.ggml_types import TYPES_BY_NAME
from quantbench.weights.formats.block_rows import BlockRows
from quantbench.weights.formats.blocks import BlockWeight
from quantbench.weights.formats.floats import FloatWeight
from quantbench.weights.formats.weight import Weight

if TYPE_CHECKING:
    from torch import Tensor

LAUNCH_BYTES = 1 << 20  # that are read in a fraction of the time that another launch takes


@dataclass(frozen=True, slots=True)
class MixedWeight(Weight):
    """The rows of all `parts`, in order; each part is a matrix of the checkpoint with a format of its own."""

    parts: tuple[Weight, ...]

    @property
    def shape(self) -> tuple[int, int]:
        return (sum(part.shape[0] for part in self.parts), self.parts[0].shape[1])

    @property
    def scheme(self) -> str:
        return "+".join(dict.fromkeys(part.scheme for part in self.parts))

    @property
    def format(self) -> str:
        return "+".join(dict.fromkeys(part.format for part in self.parts))

    def dequantize(self, rows: "Tensor | None" = None) -> "Tensor":
        import torch

        if rows is None:
            return torch.cat([part.dequantize() for part in self.parts])
        return torch.cat([part.dequantize() for part in self.parts])[rows]

    def gpu_layout(self) -> Weight:
        """Neighbours of one format as one part: each is a launch of the GPU kernels.

        All as one in Q8_0 where that holds their values and takes so few bytes more that a launch costs more.
        """
        out, inputs = self.shape
        more = out * inputs // 32 * TYPES_BY_NAME["Q8_0"].nbytes - self.nbytes
        if more <= LAUNCH_BYTES and (widened := self._as_bytes()):
            return widened.gpu_layout()
        groups: list[list[Weight]] = []
        for part in self.parts:
            if groups and _alike(part, groups[-1][-1]):
                groups[-1].append(part)
            else:
                groups.append([part])
        return MixedWeight(tuple(stack(group).gpu_layout() for group in groups))

    def cpu_layout(self, strip: int) -> Weight:
        return MixedWeight(tuple(part.cpu_layout(strip) for part in self.parts))

    def _as_bytes(self) -> BlockWeight | None:
        """All parts in Q8_0; None where one has other values."""
        parts = [part.as_bytes() if isinstance(part, BlockWeight) else None for part in self.parts]
        blocks = [part for part in parts if part is not None]
        if len(blocks) < len(parts):
            return None
        import torch

        return BlockWeight(torch.cat([part.data for part in blocks]), "Q8_0", self.format)

    @property
    def has_gpu_kernel(self) -> bool:
        """Where all parts take their inputs in the natural order: floats and blocks."""
        natural = (FloatWeight, BlockWeight, BlockRows)
        return all(isinstance(part, natural) and part.has_gpu_kernel for part in self.parts)

    def tensors(self) -> "Iterator[tuple[str, Tensor]]":
        for number, part in enumerate(self.parts):
            for name, tensor in part.tensors():
                yield f"{number}:{name}", tensor

    def map(self, change: "Callable[[Tensor], Tensor]") -> Self:
        return type(self)(tuple(part.map(change) for part in self.parts))


@dataclass(frozen=True, slots=True)
class PermutedWeight(Weight):
    """`inner` over reordered inputs: its input i is the matrix's input order[i]; order int64 [in]."""

    inner: Weight
    order: "Tensor"

    @property
    def shape(self) -> tuple[int, int]:
        return self.inner.shape

    @property
    def scheme(self) -> str:
        return self.inner.scheme

    @property
    def format(self) -> str:
        return f"{self.inner.format}, inputs reordered"

    @property
    def group_size(self) -> int | None:
        return self.inner.group_size

    def dequantize(self, rows: "Tensor | None" = None) -> "Tensor":
        values = self.inner.dequantize(rows)
        out = values.new_empty(values.shape)
        out[:, self.order] = values
        return out

    def tensors(self) -> "Iterator[tuple[str, Tensor]]":
        yield from self.inner.tensors()
        yield "order", self.order

    def map(self, change: "Callable[[Tensor], Tensor]") -> Self:
        return type(self)(self.inner.map(change), change(self.order))

    def cpu_layout(self, strip: int) -> Weight:
        return replace(self, inner=self.inner.cpu_layout(strip))

    def same_order(self, other: Weight) -> bool:
        """Whether the inputs of `other` are reordered in the same way."""
        import torch

        return isinstance(other, PermutedWeight) and torch.equal(self.order, other.order)


def stack(weights: Sequence[Weight]) -> Weight:
    """One weight whose rows are those of all `weights`, in their order."""
    if len(weights) == 1:
        return weights[0]
    first = weights[0]
    if all(isinstance(w, PermutedWeight) and w.same_order(first) for w in weights):
        inner = stack([weight.inner for weight in weights if isinstance(weight, PermutedWeight)])
        return replace(first, inner=inner)  # type: ignore[type-var]
    if floats := _floats(weights):
        return floats
    if any(not _alike(weight, first) for weight in weights):
        return MixedWeight(tuple(weights))
    import torch

    joined: dict[str, Any] = {
        name: torch.cat([dict(w.tensors())[name] for w in weights])
        for name, _ in first.tensors()
        if name not in first.shared
    }
    kept = {f.name: getattr(first, f.name) for f in fields(first)} | joined  # type: ignore[arg-type]
    return type(first)(**kept)


def _alike(weight: Weight, other: Weight) -> bool:
    """Whether two weights differ in their rows alone."""
    if (type(weight), weight.group_size, weight.format) != (type(other), other.group_size, other.format):
        return False
    import torch

    return isinstance(weight, MixedWeight | PermutedWeight) is False and all(
        torch.equal(one, two)
        if name in weight.shared
        else (one.dtype, one.shape[1:]) == (two.dtype, two.shape[1:])
        for (name, one), (_, two) in zip(weight.tensors(), other.tensors(), strict=True)
    )


def _floats(weights: Sequence[Weight]) -> FloatWeight | None:
    """Floats of one type as one, whatever format each of them stands in for; None where not all are such."""
    floats = [weight for weight in weights if isinstance(weight, FloatWeight)]
    if len(floats) < len(weights) or len({weight.kind for weight in floats}) > 1:
        return None
    import torch

    stored = "+".join(dict.fromkeys(weight.stored for weight in floats if weight.stored))
    return FloatWeight(torch.cat([weight.values for weight in floats]), stored)
