"""The operations of a model in plain torch: on every device, and the reference for all others."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from quantbench.engine.activations import ACTIVATIONS
from quantbench.engine.config import ModelConfig
from quantbench.engine.kv_cache import KeyValueCache
from quantbench.engine.linear import Linear
from quantbench.engine.operations import Attention, Rotation
from quantbench.engine.parameters import Matrix, Norm
from quantbench.engine.plain.attention import (
    ContinuationAttention,
    PromptAttention,
    TokenAttention,
    rms_norm,
    soft_cap,
)
from quantbench.engine.plain.linear import plain_linear


class PlainOperations:
    """In torch, on every device."""

    name = "torch"

    def __init__(self, config: ModelConfig) -> None:
        self.config = config
        self._activation = ACTIVATIONS[config.activation].apply

    def linear(self, matrix: Matrix) -> Linear:
        return plain_linear(matrix)

    def norm(self, x: Tensor, norm: Norm) -> Tensor:
        if self.config.centered_norms:
            return F.layer_norm(x, norm.weight.shape, norm.weight, norm.bias, self.config.norm_eps)
        return rms_norm(self.config, x, norm.weight)

    def gated(self, product: Linear, x: Tensor, *, prompt: bool) -> Tensor:
        return self.gate(product(x, prompt=prompt))

    def capped(self, x: Tensor, cap: float) -> Tensor:
        return soft_cap(x, cap)

    def gate(self, x: Tensor) -> Tensor:
        """The gates [tokens, n] and ups beside them, joined; without gates the activation alone."""
        if not self.config.gated:
            return self._activation(x)
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
