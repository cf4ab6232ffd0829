"""Matrix products with packed weights in plain torch: works for every weight, on every device.

The weight is dequantized on use, one matrix at a time, and the copy is dropped; nothing is kept beside the
packed tensors. `cpu.linear` holds what is faster on a CPU.
"""

from collections.abc import Iterator
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from quantbench.engine.parameters import Matrix
from quantbench.engine.weights import FloatWeight

AS_LINEAR = "as linear"  # a `prompt_kernel` that is no other


class Linear(Protocol):
    """One matrix and its bias, applied in the activations' dtype."""

    kernel: str  # what computes it
    prompt_kernel: str  # the same of prompts to be continued
    prompt_bits: int  # of activations there, at most also of weights; 0 where prompts are as everything else

    def __call__(self, x: Tensor, residual: Tensor | None = None, *, prompt: bool = False) -> Tensor:
        """x [tokens, in] -> [tokens, out], plus `residual` [tokens, out] if given.

        `prompt` says that the tokens are those of prompts to be continued: there a device may take a faster
        way with fewer bits, which `prompt_kernel` then names. The number of tokens does not decide it.
        """
        ...

    def rows(self, ids: Tensor) -> Tensor:
        """Rows `ids` of the matrix as float32 [len(ids), in]: the embedding of tokens."""
        ...

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Every tensor held."""
        ...


class PlainLinear:
    """Dequantizes to the activations' dtype and multiplies; a float weight of that dtype is used as it is."""

    prompt_kernel = AS_LINEAR
    prompt_bits = 0

    def __init__(self, matrix: Matrix) -> None:
        self._matrix = matrix
        kind = matrix.weight.scheme
        self.kernel = f"torch linear, {kind} dequantized to the activations' dtype per use"
        if isinstance(matrix.weight, FloatWeight):
            self.kernel = f"torch linear, {kind}"

    def __call__(self, x: Tensor, residual: Tensor | None = None, *, prompt: bool = False) -> Tensor:
        y = F.linear(x, self._values(x.dtype), self._matrix.bias)
        return y if residual is None else y + residual

    def _values(self, dtype: torch.dtype) -> Tensor:
        weight = self._matrix.weight
        return weight.values.to(dtype) if isinstance(weight, FloatWeight) else weight.dequantize().to(dtype)

    def rows(self, ids: Tensor) -> Tensor:
        return self._matrix.weight.dequantize(ids)

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        yield from self._matrix.tensors()
