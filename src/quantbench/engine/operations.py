"""What a model does between its matrix products: norms, gates, rotation, attention.

`Operations` is the seam where a device's own kernels come in: `plain` runs everywhere and is the reference,
`cpu` is faster on a CPU.
"""

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import torch
from torch import Tensor

from quantbench.engine.config import ModelConfig
from quantbench.engine.kv_cache import KeyValueCache
from quantbench.engine.linear import Linear
from quantbench.engine.parameters import Matrix, Norm
from quantbench.engine.rope import Rope


@dataclass(frozen=True, slots=True)
class HeadNorms:
    """Weights [head_dim] of the norms of each query and key head; None where the family has none.

    `smoothing`, float32 [2, heads + kv_heads, head_dim], changes rotated heads; see `key_smoothing.py`.
    """

    queries: Tensor | None
    keys: Tensor | None
    smoothing: Tensor | None = None


class Rotation:
    """Cosine and sine tables [positions, head_dim] that grow with the longest text; see `rope`."""

    def __init__(self, config: ModelConfig, device: torch.device, dtype: torch.dtype) -> None:
        self._ropes, self._device, self._dtype = config.ropes, device, dtype
        empty = torch.empty(0, config.head_dim, device=device, dtype=dtype)
        self._tables = dict.fromkeys((*config.ropes, *(rope.long for rope in config.ropes)), (empty, empty))
        self._positions = 0

    def reserve(self, positions: int) -> None:
        """Make room for texts of this many tokens."""
        if positions > self._positions:
            self._positions = positions
            for rope in self._tables:
                cos, sin = (table.to(self._device, self._dtype) for table in rope.tables(positions))
                self._tables[rope] = (cos, sin)

    def of_texts(self, length: int) -> "Rotation":
        """That of texts of so many tokens, over the same tables: of all that are long, or of all others."""
        found = copy(self)
        found._ropes = tuple(rope.long if rope.is_long(length) else rope for rope in self._ropes)
        return found

    def of(self, layer: int) -> tuple[Tensor, Tensor]:
        """Cosines and sines of a layer."""
        return self._tables[self._ropes[layer]]

    def picked(self, pick: Callable[[Tensor], Tensor]) -> Callable[[int], tuple[Tensor, Tensor]]:
        """A layer -> its tables for certain tokens, as `pick` takes them; made once a table."""

        @cache
        def take(rope: Rope) -> tuple[Tensor, Tensor]:
            cos, sin = self._tables[rope]
            return pick(cos), pick(sin)

        return lambda layer: take(self._ropes[layer])


class Attention(Protocol):
    """(layer, projections [tokens, q_size + 2 kv_size], its head norms) -> [tokens, q_size]."""

    def __call__(self, layer: int, projections: Tensor, norms: HeadNorms, /) -> Tensor: ...


class Operations(Protocol):
    """One device's way of doing them; all tensors have the activations' dtype."""

    name: str  # for Decoder.kernels()

    def linear(self, matrix: Matrix) -> Linear: ...

    def norm(self, x: Tensor, norm: Norm) -> Tensor:
        """RMS norm, or LayerNorm where the family centers, of rows [tokens, n]."""
        ...

    def gated(self, product: Linear, x: Tensor, *, prompt: bool) -> Tensor:
        """activation(gate) * up of product(x), [tokens, 2 n], gate first -> [tokens, n].

        activation(product(x)) where the family has no gates.
        """
        ...

    def capped(self, x: Tensor, cap: float) -> Tensor:
        """cap * tanh(x / cap), float32 [rows, n]."""
        ...

    def token_attention(
        self, kv: KeyValueCache, rotation: Rotation, positions: Tensor, longest: int, uniform: bool
    ) -> Attention:
        """Attention of one new token a row at `positions`, int64 [rows].

        `longest` is the largest position; `uniform` says that all of them are equal.
        """
        ...

    def continuation_attention(
        self, kv: KeyValueCache, rotation: Rotation, spans: Sequence[range], rows: Sequence[int]
    ) -> Attention:
        """Attention of several new tokens a row at once, by the arithmetic of `token_attention`.

        The tokens of text i stand at the positions `spans[i]` of row `rows[i]`, behind what is in the cache;
        they lie one text after another.
        """
        ...

    def prompt_attention(
        self, kv: KeyValueCache, rotation: Rotation, lengths: Sequence[int], rows: Sequence[int]
    ) -> Attention:
        """Causal attention within whole prompts that start at position 0, laid out one after another.

        `rows[i]` is where prompt i goes in `kv`.
        """
        ...
