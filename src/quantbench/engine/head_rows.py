"""Rows of queries, keys and values in the order that the engine wants them in, whatever the checkpoint's.

The engine has all queries, all keys, all values, and turns a head's first half with its second. A checkpoint
may have them head by head, or rotate a part of each head alone. Scores do not change when queries and keys
change the order of their elements together. Every format packs rows one by one, so that nothing is unpacked.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from quantbench.engine.config import ModelConfig
from quantbench.engine.rope import head_order
from quantbench.sources.family_table import FAMILIES
from quantbench.weights.formats import PermutedWeight, Weight


def qkv_order(settings: Mapping[str, Any], config: ModelConfig) -> Tensor | None:
    """int64 [q_size + 2 kv_size]: which stored row stands where; None for their own order."""
    interleaved = FAMILIES[config.family].interleaved
    inner = head_order(settings, config.head_dim)
    if inner is None and not interleaved:
        return None
    size = config.head_dim
    turned, plain = torch.tensor(inner or range(size)), torch.arange(size)
    if interleaved:  # head by head: its queries, its keys, its values
        starts = [torch.arange(config.heads) * 3 * size + part * size for part in range(3)]
    else:
        starts = [
            torch.arange(config.heads) * size,
            config.q_size + torch.arange(config.kv_heads) * size,
            config.q_size + config.kv_size + torch.arange(config.kv_heads) * size,
        ]
    orders = (turned, turned, plain)
    return torch.cat(
        [(start[:, None] + order).flatten() for start, order in zip(starts, orders, strict=True)]
    )


def rows_in_order(weights: Sequence[Weight], order: Tensor) -> list[Weight]:
    """Weights of rows one after another with their rows in `order`, which leaves none for another weight."""
    parts, start = [], 0
    for weight in weights:
        rows = weight.shape[0]
        parts.append(reordered(weight, order[start : start + rows] - start))
        start += rows
    return parts


def reordered(weight: Weight, order: Tensor) -> Weight:
    """The weight with row order[i] at place i."""
    if isinstance(weight, PermutedWeight):
        return PermutedWeight(reordered(weight.inner, order), weight.order)
    shared = {id(tensor) for name, tensor in weight.tensors() if name in weight.shared}
    return weight.map(lambda t: t if id(t) in shared else t[order.to(t.device)].contiguous())
