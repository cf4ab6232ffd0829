"""The gate's activation functions: their names in configurations, in torch and in the CPU kernels.

torch is imported when one is called: a plan is made without it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Activation:
    """One function; `number` is that of `activate` in cpu/rows.hpp."""

    number: int
    apply: "Callable[[Tensor], Tensor]"


def silu(x: "Tensor") -> "Tensor":
    """x times its sigmoid."""
    from torch.nn.functional import silu

    return silu(x)


def gelu(x: "Tensor") -> "Tensor":
    """x times the normal distribution's mass below it."""
    from torch.nn.functional import gelu

    return gelu(x)


def gelu_tanh(x: "Tensor") -> "Tensor":
    """gelu by tanh."""
    from torch.nn.functional import gelu

    return gelu(x, approximate="tanh")


SILU = Activation(0, silu)
GELU_TANH = Activation(2, gelu_tanh)
ACTIVATIONS: dict[str, Activation] = {  # by `hidden_act`
    "silu": SILU,
    "swish": SILU,
    "gelu": Activation(1, gelu),
    "gelu_pytorch_tanh": GELU_TANH,
    "gelu_new": GELU_TANH,
    "gelu_fast": GELU_TANH,
    "relu": Activation(3, lambda x: x.relu()),
}
