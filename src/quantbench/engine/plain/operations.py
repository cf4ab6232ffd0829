"""The operations of a model in plain torch: on every device, and the reference for all others."""

from collections.abc import Sequence

from torch import Tensor

from quantbench.engine.activations import ACTIVATIONS
from quantbench.engine.config import ModelConfig
from quantbench.engine.kv_cache import KeyValueCache
from quantbench.engine.linear import Linear
from quantbench.engine.operations import Attention, Rotation
from quantbench.engine.parameters import Matrix
from quantbench.engine.plain.attention import (
    ContinuationAttention,
    PromptAttention,
    TokenAttention,
    rms_norm,
)
from quantbench.engine.plain.linear import PlainLinear


class PlainOperations:
    """In torch, on every device."""

    name = "torch"

    def __init__(self, config: ModelConfig) -> None:
        self.config = config
        self._activation = ACTIVATIONS[config.activation].apply

    def linear(self, matrix: Matrix) -> Linear:
        return PlainLinear(matrix)

    def norm(self, x: Tensor, weight: Tensor) -> Tensor:
        return rms_norm(self.config, x, weight)

    def gated(self, product: Linear, x: Tensor, *, prompt: bool) -> Tensor:
        return self.gate(product(x, prompt=prompt))

    def gate(self, x: Tensor) -> Tensor:
        """The gates [tokens, n] and ups beside them, joined."""
        gate, up = x.chunk(2, dim=-1)
        return self._activation(gate) * up

    def token_attention(
        self, kv: KeyValueCache, rotation: Rotation, positions: Tensor, longest: int, uniform: bool
    ) -> Attention:
        return TokenAttention(self.config, kv, rotation, positions, longest, uniform)

    def prompt_attention(
        self, kv: KeyValueCache, rotation: Rotation, lengths: Sequence[int], rows: Sequence[int]
    ) -> Attention:
        return PromptAttention(self.config, rotation, lengths, kv, rows)

    def continuation_attention(
        self, kv: KeyValueCache, rotation: Rotation, spans: Sequence[range], rows: Sequence[int]
    ) -> Attention:
        return ContinuationAttention(self.config, kv, rotation, spans, rows)
