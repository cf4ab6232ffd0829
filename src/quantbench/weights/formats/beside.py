"""Rows side by side: the layout of weights that CPU kernels want which make several outputs at once."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from quantbench.weights.formats.weight import CpuOperand, Weight

if TYPE_CHECKING:
    from torch import Tensor

KIND = 32  # more than the kind of the same format with its rows as they are
STEP = 16  # rows of two vectors: what the kernels make at once, at least


@dataclass(frozen=True, slots=True)
class BesideWeight(Weight):
    """The values of `inner`, whose named tensors are rearranged: the same bytes in another order.

    Rows are taken in strips of `strip`, the last one what is left, a multiple of 16. Each row of such a
    tensor is cut in units of so many bytes; a strip holds its rows' first units, then the second ones, ...
    """

    inner: Weight
    strip: int
    units: tuple[tuple[str, int], ...]  # name, bytes

    @property
    def shape(self) -> tuple[int, int]:
        return self.inner.shape

    @property
    def scheme(self) -> str:
        return self.inner.scheme

    @property
    def format(self) -> str:
        return self.inner.format

    @property
    def is_float(self) -> bool:
        return self.inner.is_float

    @property
    def group_size(self) -> int | None:
        return self.inner.group_size

    def natural(self) -> Weight:
        """The same weight with its rows as they are."""
        return rearranged(self.inner, self.strip, self.units, back=True)

    def dequantize(self, rows: "Tensor | None" = None) -> "Tensor":
        return self.natural().dequantize(rows)

    def gpu_layout(self) -> Weight:
        return self.natural().gpu_layout()

    def tensors(self) -> "Iterator[tuple[str, Tensor]]":
        yield from self.inner.tensors()

    def map(self, change: "Callable[[Tensor], Tensor]") -> Self:
        return replace(self, inner=self.inner.map(change))

    def cpu_operand(self) -> CpuOperand | None:
        natural = self.inner.cpu_operand()
        return natural and replace(natural, kind=natural.kind + KIND)


def beside(weight: Weight, strip: int, units: Mapping[str, int]) -> Weight:
    """`weight` with its rows side by side in strips of so many.

    Itself where its rows are no multiple of 16, where no CPU kernel reads it, and for a strip of 0 rows.
    """
    if not strip or weight.shape[0] % STEP or weight.cpu_operand() is None:
        return weight
    named = tuple(units.items())
    return BesideWeight(rearranged(weight, strip, named), strip, named)


def rearranged(
    weight: Weight, strip: int, units: tuple[tuple[str, int], ...], *, back: bool = False
) -> Weight:
    """With the named tensors in strips, or `back` in the order of rows."""
    tensors = dict(weight.tensors())
    changed = {name: in_strips(tensors[name], strip, unit, back=back) for name, unit in units}
    return replace(weight, **changed)  # type: ignore[type-var]


def in_strips(tensor: "Tensor", strip: int, unit: int, *, back: bool = False) -> "Tensor":
    """A tensor [rows, ...] cut in units of so many bytes; of the same type and shape."""
    import torch

    rows = tensor.shape[0]
    cut = tensor.contiguous().view(torch.uint8).reshape(-1, unit)
    words = cut.view({1: torch.int8, 2: torch.int16, 4: torch.int32}[unit]).reshape(-1)
    units = len(words) // rows
    whole = rows // strip * strip
    parts = []
    for part, height in ((words[: whole * units], strip), (words[whole * units :], rows - whole)):
        if len(part):
            shape = (-1, units, height) if back else (-1, height, units)
            parts.append(part.reshape(shape).transpose(1, 2).reshape(-1))
    return torch.cat(parts).view(tensor.dtype).reshape(tensor.shape)
