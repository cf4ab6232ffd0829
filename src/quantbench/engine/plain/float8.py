"""Products of 8-bit floats on a GPU that has them: weights as stored, activations rounded to 8 bits a token.

Sums are float32 over unscaled products; the two scales come last, so that nothing is rounded between.
"""

import torch
from torch import Tensor

from quantbench.engine.linear import AS_LINEAR
from quantbench.engine.parameters import Matrix
from quantbench.weights.formats import Float8Weight, Weight
from quantbench.weights.quantizers.float8 import rounded

CAPABILITY = (8, 9)
MULTIPLE = 16  # of outputs and inputs, which the products want


def multiplies(weight: Weight) -> bool:
    """Whether a weight asks for 8-bit activations, and its device and shape allow them."""
    if not isinstance(weight, Float8Weight) or not weight.dynamic or weight.group_size is not None:
        return False
    whole = all(size % MULTIPLE == 0 for size in weight.shape)
    device = weight.values.device
    return whole and device.type == "cuda" and torch.cuda.get_device_capability(device) >= CAPABILITY


class Float8Linear:
    """One matrix and its bias with `torch._scaled_mm`; only where `multiplies`."""

    kernel = "torch._scaled_mm, 8-bit floats, activations of 8 bits a token"
    prompt_kernel = AS_LINEAR
    bits, prompt_bits = 8, 0
    invariant = False

    def __init__(self, matrix: Matrix) -> None:
        assert isinstance(matrix.weight, Float8Weight)
        self._matrix, self._weight = matrix, matrix.weight
        self._one = torch.ones((), dtype=torch.float32, device=matrix.weight.values.device)

    def __call__(self, x: Tensor, residual: Tensor | None = None, *, prompt: bool = False) -> Tensor:
        values, scale = rounded(x)
        sums = torch._scaled_mm(
            values, self._weight.values.t(), scale_a=self._one, scale_b=self._one, out_dtype=torch.float32
        )
        y = sums * scale * self._weight.scale.t()
        if self._matrix.bias is not None:
            y = y + self._matrix.bias
        y = y.to(x.dtype)
        return y if residual is None else y + residual

    def rows(self, ids: Tensor) -> Tensor:
        return self._weight.dequantize(ids)


def float8_reference(matrix: Matrix, x: Tensor) -> Tensor:
    """What the product gives, in plain torch: float32 [n, out]."""
    values, scale = rounded(x)
    product = (values.float() * scale) @ matrix.weight.dequantize().T
    return product if matrix.bias is None else product + matrix.bias
