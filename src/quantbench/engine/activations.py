"""The gate's activation functions: their names in configurations, in torch and in the CPU kernels."""

from collections.abc import Callable
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Activation:
    """One function; `number` is that of `activate` in cpu/rows.hpp."""

    number: int
    apply: Callable[[Tensor], Tensor]


SILU = Activation(0, F.silu)
GELU_TANH = Activation(2, lambda x: F.gelu(x, approximate="tanh"))
ACTIVATIONS: dict[str, Activation] = {  # by `hidden_act`
    "silu": SILU,
    "swish": SILU,
    "gelu": Activation(1, F.gelu),
    "gelu_pytorch_tanh": GELU_TANH,
    "gelu_new": GELU_TANH,
    "gelu_fast": GELU_TANH,
    "relu": Activation(3, F.relu),
}
