"""Bytes from a configuration alone: what a plan shows, and what is checked before loading.

Vectors (norms, biases) are counted at 16 bits; where activations are float32 they take twice that, which
is less than 0.1 % of a model.
"""

from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Any

from quantbench.sources.families import complete, family_of, windows_of
from quantbench.sources.layout import count, head_dim_of, kv_heads_of, stays_float, tensor_shapes

VECTOR_BYTES = 2
SCALE_BYTES = 4  # of a token and head in a KV cache of 8 bits
MatrixBytes = Callable[[int, int], int]  # of [out, in]


def total_bytes(
    config: Mapping[str, Any],
    matrix_bytes: MatrixBytes,
    kept: Collection[str] = (),
    others: Mapping[str, MatrixBytes] = MappingProxyType({}),
) -> int | None:
    """Bytes of all tensors, tied ones once; `matrix_bytes(out_features, in_features)` for each matrix.

    Names in `others` have their own bytes; those in `kept`, and routers of experts, stay at 16 bits.
    """
    shapes = tensor_shapes(config)
    if shapes is None:
        return None
    return sum(
        others.get(name, matrix_bytes)(shape[0], shape[1])
        if len(shape) == 2 and name not in kept and not stays_float(name)
        else VECTOR_BYTES * count(shape)
        for name, shape in shapes.items()
    )


def largest_matrix(config: Mapping[str, Any]) -> int:
    """Parameters of the largest matrix; 0 where the layout is not known."""
    shapes = tensor_shapes(config) or {}
    return max((count(shape) for shape in shapes.values()), default=0)


def headline_bytes(
    config: Mapping[str, Any], rows: int, positions: int, prompt_tokens: int
) -> tuple[int, int]:
    """Elements of the KV cache, and of the workspace beside it, that generating takes at the least.

    `rows` texts of `positions` tokens; a layer with a window keeps that many. The workspace is the wider of
    one prompt's activations within an MLP and the logits of all rows. (0, 0) where the layout is not known.
    """
    if family_of(config) is None:
        return 0, 0
    full = complete(config)
    kept = sum(min(window or positions, positions) for window in windows_of(full))
    inner = int(full.get("intermediate_size") or full.get("moe_intermediate_size") or full["hidden_size"])
    cache = 2 * rows * kept * kv_heads_of(full) * head_dim_of(full)
    return cache, max(prompt_tokens * inner, rows * int(full["vocab_size"]))


def coded_bytes(config: Mapping[str, Any], elements: int) -> int:
    """Bytes of a KV cache of so many elements in 8 bits, a scale per token and head included."""
    return elements + SCALE_BYTES * elements // head_dim_of(complete(config)) if elements else 0
