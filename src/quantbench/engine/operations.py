"""What a model does between its matrix products, in plain torch: norms, gates, rotation, attention.

`Operations` is the seam where a device's own kernels come in; `PlainOperations` runs everywhere and is the
reference for `cpu.operations`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from quantbench.engine.cache import KeyValueCache
from quantbench.engine.config import ModelConfig
from quantbench.engine.linear import Linear, PlainLinear
from quantbench.engine.parameters import Matrix

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "silu": F.silu,
    "swish": F.silu,
    "gelu": F.gelu,
    "gelu_pytorch_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "relu": F.relu,
}


@dataclass(frozen=True, slots=True)
class HeadNorms:
    """Weights [head_dim] of the norms of each query and key head; None where the family has none."""

    queries: Tensor | None
    keys: Tensor | None


class Rotation:
    """Cosine and sine tables [positions, head_dim] that grow with the longest text; see `rope`."""

    def __init__(self, config: ModelConfig, device: torch.device, dtype: torch.dtype) -> None:
        self._rope, self._device, self._dtype = config.rope, device, dtype
        self.cos = self.sin = torch.empty(0, config.head_dim, device=device, dtype=dtype)

    def reserve(self, positions: int) -> None:
        """Make room for texts of this many tokens."""
        if positions > len(self.cos):
            cos, sin = self._rope.tables(positions)
            self.cos, self.sin = (table.to(self._device, self._dtype) for table in (cos, sin))


class Attention(Protocol):
    """(layer, projections [tokens, q_size + 2 kv_size], its head norms) -> [tokens, q_size]."""

    def __call__(self, layer: int, projections: Tensor, norms: HeadNorms, /) -> Tensor: ...


class Operations(Protocol):
    """One device's way of doing them; all tensors have the activations' dtype."""

    name: str  # for Decoder.kernels()

    def linear(self, matrix: Matrix) -> Linear: ...

    def norm(self, x: Tensor, weight: Tensor) -> Tensor:
        """RMS norm of rows [tokens, n] or heads [..., n]."""
        ...

    def gated(self, product: Linear, x: Tensor, *, prompt: bool) -> Tensor:
        """activation(gate) * up of product(x), [tokens, 2 n], gate first -> [tokens, n]."""
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


class PlainOperations:
    """In torch, on every device."""

    name = "torch"

    def __init__(self, config: ModelConfig) -> None:
        self.config = config
        self._activation = ACTIVATIONS[config.activation]

    def linear(self, matrix: Matrix) -> Linear:
        return PlainLinear(matrix)

    def norm(self, x: Tensor, weight: Tensor) -> Tensor:
        return F.rms_norm(x, weight.shape, weight, self.config.norm_eps)

    def gated(self, product: Linear, x: Tensor, *, prompt: bool) -> Tensor:
        return self.gate(product(x, prompt=prompt))

    def gate(self, x: Tensor) -> Tensor:
        """The gates [tokens, n] and ups beside them, joined."""
        gate, up = x.chunk(2, dim=-1)
        return self._activation(gate) * up

    def token_attention(
        self, kv: KeyValueCache, rotation: Rotation, positions: Tensor, longest: int, uniform: bool
    ) -> Attention:
        from quantbench.engine.attention import TokenAttention

        return TokenAttention(self, kv, rotation, positions, longest, uniform)

    def prompt_attention(
        self, kv: KeyValueCache, rotation: Rotation, lengths: Sequence[int], rows: Sequence[int]
    ) -> Attention:
        from quantbench.engine.attention import PromptAttention

        return PromptAttention(self.config, rotation, lengths, kv, rows)

    def continuation_attention(
        self, kv: KeyValueCache, rotation: Rotation, spans: Sequence[range], rows: Sequence[int]
    ) -> Attention:
        from quantbench.engine.attention import ContinuationAttention

        return ContinuationAttention(self, kv, rotation, spans, rows)

    def heads(
        self, projections: Tensor, norms: HeadNorms, cos: Tensor, sin: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Rotated queries and keys, and values, each [tokens, heads of its kind, head_dim].

        cos and sin [tokens, 1, head_dim] of each token's position.
        """
        config = self.config
        heads = projections.view(len(projections), -1, config.head_dim)
        turned, values = heads[:, : -config.kv_heads], heads[:, -config.kv_heads :]
        if norms.queries is not None and norms.keys is not None:
            queries, keys = turned[:, : config.heads], turned[:, config.heads :]
            turned = torch.cat((self.norm(queries, norms.queries), self.norm(keys, norms.keys)), dim=1)
        turned = turned * cos + turned.roll(config.head_dim // 2, dims=-1) * sin
        return turned[:, : config.heads], turned[:, config.heads :], values
