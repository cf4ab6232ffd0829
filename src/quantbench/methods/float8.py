"""fp8 of our own: 8-bit floats with a scale per output channel, activations of 8 bits where a GPU has them.

Embedding and head stay at 16 bits, as in published checkpoints.
"""

from functools import partial
from typing import TYPE_CHECKING

from quantbench.methods.quantized import QuantizedMethod
from quantbench.sources.layout import EMBEDDING, HEAD
from quantbench.weights.formats import Float8Weight

if TYPE_CHECKING:
    from torch import Tensor

    from quantbench.weights.formats import Weight


def float8(name: str, weight: "Tensor", squares: "Tensor | None", *, dynamic: bool) -> "Weight | None":
    """W8, see quantizers.float8."""
    from quantbench.weights.quantizers.float8 import quantize_float8

    return quantize_float8(name, weight, dynamic=dynamic)


def float8_method(what: str, *, dynamic: bool) -> QuantizedMethod:
    """W8 in 8-bit floats."""
    return QuantizedMethod(
        description=f"8-bit floats, a scale per output channel, {what}; embedding and head stay at 16 bits",
        scheme="W8",
        group_size=None,
        quantize=partial(float8, dynamic=dynamic),
        matrix_bytes=Float8Weight.bytes_of,
        kept=frozenset((EMBEDDING, HEAD)),
        activation_bits=8 if dynamic else None,
        quantizer="fp8",
    )


FLOAT8 = {
    "fp8": float8_method("8-bit activations on a GPU", dynamic=True),
    "fp8-a16": float8_method("weights alone", dynamic=False),
}
