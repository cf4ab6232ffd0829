"""Unquantized matrices, quantized one by one as they are read: the model never exists unquantized."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from quantbench.sources import ModelSource, is_quantized
from quantbench.weights.formats import FloatWeight, Weight
from quantbench.weights.readers.reader import read_tensor
from quantbench.weights.readers.stored import stored_reader

if TYPE_CHECKING:
    from torch import Tensor

Quantizer = Callable[[str, "Tensor"], Weight]  # a matrix's name and values [out, in] -> its weight


@dataclass(frozen=True, slots=True)
class Quantizing:
    """A WeightReader of stored floats, whatever the quantizer makes of them."""

    source: ModelSource
    quantizer: Quantizer

    def __call__(self, name: str, shape: tuple[int, int], /) -> Weight:
        return self.quantizer(name, floats_of(self.source, name, shape))

    def stored(self, name: str) -> Collection[str]:
        return stored_reader(self.source).stored(name) if is_quantized(self.source) else (name,)


def floats_of(source: ModelSource, name: str, shape: tuple[int, int]) -> "Tensor":
    """A matrix's values: as stored, or what another library's packed ones stand for, float32."""
    if not is_quantized(source):
        return read_tensor(source, name, shape)
    weight = stored_reader(source)(name, shape)
    return weight.values if isinstance(weight, FloatWeight) else weight.dequantize()
