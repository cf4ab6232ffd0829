"""Keys and values of the rows in flight: allocated once, as long as the longest request, no pool behind it.

Rows are ragged: each has its own length, kept by the decoder; what lies beyond it is never read.
"""

import torch
from torch import Tensor

from quantbench.engine.config import ModelConfig


class KeyValueCache:
    """Per layer one key and one value tensor [rows, kv_heads, capacity, head_dim]."""

    def __init__(
        self, config: ModelConfig, *, rows: int, capacity: int, device: torch.device, dtype: torch.dtype
    ) -> None:
        shape = (rows, config.kv_heads, capacity, config.head_dim)
        self.rows, self.capacity = rows, capacity
        # zeros, not empty: masked positions are multiplied with 0, and 0 * nan is nan
        self.keys = [torch.zeros(shape, device=device, dtype=dtype) for _ in range(config.layers)]
        self.values = [torch.zeros(shape, device=device, dtype=dtype) for _ in range(config.layers)]

    def write_prompt(self, layer: int, row: int, keys: Tensor, values: Tensor) -> None:
        """Store a prompt from position 0 on; keys and values [kv_heads, length, head_dim]."""
        length = keys.shape[1]
        self.keys[layer][row, :, :length] = keys
        self.values[layer][row, :, :length] = values

    def write_tokens(self, layer: int, rows: Tensor, positions: Tensor, keys: Tensor, values: Tensor) -> None:
        """Store one token a row; rows and positions int64 [n], keys and values [n, kv_heads, head_dim]."""
        self.keys[layer].transpose(1, 2).index_put_((rows, positions), keys)
        self.values[layer].transpose(1, 2).index_put_((rows, positions), values)

    def move(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` positions of one row onto another."""
        for tensor in (*self.keys, *self.values):
            tensor[target, :, :length] = tensor[source, :, :length]

    @property
    def nbytes(self) -> int:
        return sum(tensor.nbytes for tensor in (*self.keys, *self.values))
