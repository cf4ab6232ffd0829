"""Matrix products with packed weights in plain torch: works for every weight, on every device.

The weight is dequantized on use, one matrix at a time, and the copy is dropped; nothing is kept beside the
packed tensors.
"""

import torch.nn.functional as F
from torch import Tensor

from quantbench.engine.linear import AS_LINEAR, Linear
from quantbench.engine.parameters import Matrix
from quantbench.engine.plain.float8 import Float8Linear, multiplies


def plain_linear(matrix: Matrix) -> Linear:
    """The product of a matrix in torch: of 8-bit floats where it asks for them and the device has them."""
    return Float8Linear(matrix) if multiplies(matrix.weight) else PlainLinear(matrix)


class PlainLinear:
    """Dequantizes to the activations' dtype and multiplies; a float weight of that dtype is used as it is."""

    prompt_kernel = AS_LINEAR
    bits = prompt_bits = 0
    invariant = False

    def __init__(self, matrix: Matrix) -> None:
        self._matrix = matrix
        kind = matrix.weight.scheme
        self.kernel = f"torch linear, {kind} dequantized to the activations' dtype per use"
        if matrix.weight.is_float:
            self.kernel = f"torch linear, {kind}"

    def __call__(self, x: Tensor, residual: Tensor | None = None, *, prompt: bool = False) -> Tensor:
        y = F.linear(x, self._matrix.weight.as_dtype(x.dtype), self._matrix.bias)
        return y if residual is None else y + residual

    def rows(self, ids: Tensor) -> Tensor:
        return self._matrix.weight.dequantize(ids)
