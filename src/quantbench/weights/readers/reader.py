"""The seam between a model's files and the engine: a matrix's name and shape -> its weight.

A reader decides what a matrix becomes: an unquantized one may be quantized on its way, one that another tool
has packed may be taken as it is. The engine asks for matrices one at a time and knows no method and no file.
"""

from collections.abc import Collection
from typing import TYPE_CHECKING, Protocol

from quantbench.errors import ModelError
from quantbench.sources import ModelSource
from quantbench.weights.formats import Weight

if TYPE_CHECKING:
    from torch import Tensor


class WeightReader(Protocol):
    """Makes the weights of one source."""

    def __call__(self, name: str, shape: tuple[int, int], /) -> Weight:
        """The matrix `name` of `shape` [out, in], on any device; ModelError where the source lacks it."""
        ...

    def stored(self, name: str) -> Collection[str]:
        """Names of the source's tensors that the matrix `name` is made of."""
        ...


def read_tensor(source: ModelSource, name: str, shape: tuple[int, ...]) -> "Tensor":
    """The floats `name` of a source; ModelError where it is missing, of another shape, or holds no floats."""
    if name not in source.names():
        raise ModelError(
            f"'{source.name}' lacks the tensor '{name}' of shape {list(shape)}; "
            "get a complete copy of the model"
        )
    tensor = source.tensor(name)
    if tuple(tensor.shape) != shape:
        raise ModelError(
            f"tensor '{name}' of '{source.name}' has shape {list(tensor.shape)}, but its "
            f"config.json asks for {list(shape)}; get a matching pair of config.json and weights"
        )
    if not tensor.is_floating_point() or tensor.dtype.itemsize == 1:
        kind = str(tensor.dtype).removeprefix("torch.")
        raise ModelError(
            f"'{name}' of '{source.name}' holds {kind}, and no scales say what that stands for; get a "
            "complete copy of the model, its config.json included"
        )
    return tensor
