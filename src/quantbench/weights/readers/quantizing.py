"""Unquantized matrices, quantized one by one as they are read: the model never exists unquantized."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from quantbench.sources import ModelSource
from quantbench.weights.formats import Weight
from quantbench.weights.readers.reader import read_tensor

if TYPE_CHECKING:
    from torch import Tensor

Quantizer = Callable[[str, "Tensor"], Weight]  # a matrix's name and values [out, in] -> its weight


@dataclass(frozen=True, slots=True)
class Quantizing:
    """A WeightReader of stored floats, whatever the quantizer makes of them."""

    source: ModelSource
    quantizer: Quantizer

    def __call__(self, name: str, shape: tuple[int, int], /) -> Weight:
        return self.quantizer(name, read_tensor(self.source, name, shape))

    def stored(self, name: str) -> tuple[str, ...]:
        return (name,)
