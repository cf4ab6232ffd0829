"""Keys and values of the rows in flight: allocated once, as long as the longest request, no pool behind it.

Rows are ragged: each has its own length, kept by the decoder; what lies beyond it is never read.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from quantbench.engine.config import ModelConfig
from quantbench.engine.kv_format import KV_CODES, codes_in, decode, encode
from quantbench.settings import KvFormat

Place = tuple[int | slice | Tensor, ...]  # an index of rows, heads and positions


@dataclass(frozen=True, slots=True)
class Cells:
    """Keys or values of a layer [rows, kv_heads, capacity, head_dim]: activations, or codes with scales."""

    held: Tensor
    scales: Tensor | None = None  # float32 [rows, kv_heads, capacity]

    def put(self, place: Place, x: Tensor) -> Tensor:
        """Store x, of the shape that indexing gives; what is read of it from now on, in its type."""
        if self.scales is None:
            self.held[place] = x
            return x
        codes = codes_in(self.held.dtype)
        assert codes is not None
        held, scales = encode(codes, x)
        self.held[place], self.scales[place] = held, scales
        return decode(held, scales).to(x.dtype)

    def read(self, place: Place, dtype: torch.dtype) -> Tensor:
        """What is there, a view where it is held in this type."""
        held = self.held[place]
        return held if self.scales is None else decode(held, self.scales[place]).to(dtype)

    def tensors(self) -> Iterator[Tensor]:
        """All of it, rows first."""
        yield self.held
        if self.scales is not None:
            yield self.scales


class KeyValueCache:
    """Per layer keys and values; in 8 bits with `kv`."""

    def __init__(
        self,
        config: ModelConfig,
        *,
        rows: int,
        capacity: int,
        device: torch.device,
        dtype: torch.dtype,
        kv: KvFormat | None = None,
    ) -> None:
        shape = (rows, config.kv_heads, capacity, config.head_dim)
        held = dtype if kv is None else KV_CODES[kv].dtype
        self.rows, self.capacity = rows, capacity

        def cells() -> Cells:
            # zeros, not empty: masked positions are multiplied with 0, and 0 * nan is nan
            scales = None if kv is None else torch.zeros(shape[:3], device=device)
            return Cells(torch.zeros(shape, device=device, dtype=held), scales)

        self.keys = [cells() for _ in range(config.layers)]
        self.values = [cells() for _ in range(config.layers)]

    def put(self, layer: int, place: Place, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Store keys and values at a place; what later tokens see of them."""
        return self.keys[layer].put(place, keys), self.values[layer].put(place, values)

    def read(self, layer: int, place: Place, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Keys and values there."""
        return self.keys[layer].read(place, dtype), self.values[layer].read(place, dtype)

    def move(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` positions of one row onto another."""
        for tensor in self.tensors():
            tensor[target, :, :length] = tensor[source, :, :length]

    def tensors(self) -> Iterator[Tensor]:
        """All of it, rows first."""
        for cells in (*self.keys, *self.values):
            yield from cells.tensors()

    @property
    def nbytes(self) -> int:
        return sum(tensor.nbytes for tensor in self.tensors())
