"""Weight bytes from a configuration alone: what a plan shows, and what is checked before loading.

Vectors (norms, biases) are counted at 16 bits; where activations are float32 they take twice that, which
is less than 0.1 % of a model.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from quantbench.sources.layout import count, stays_float, tensor_shapes

VECTOR_BYTES = 2


def total_bytes(
    config: Mapping[str, Any], matrix_bytes: Callable[[int, int], int], kept: Collection[str] = ()
) -> int | None:
    """Bytes of all tensors, tied ones once; `matrix_bytes(out_features, in_features)` for each matrix.

    Those whose names are in `kept`, and routers of experts, stay at 16 bits.
    """
    shapes = tensor_shapes(config)
    if shapes is None:
        return None
    return sum(
        matrix_bytes(shape[0], shape[1])
        if len(shape) == 2 and name not in kept and not stays_float(name)
        else VECTOR_BYTES * count(shape)
        for name, shape in shapes.items()
    )


def largest_matrix(config: Mapping[str, Any]) -> int:
    """Parameters of the largest matrix; 0 where the layout is not known."""
    shapes = tensor_shapes(config) or {}
    return max((count(shape) for shape in shapes.values()), default=0)
