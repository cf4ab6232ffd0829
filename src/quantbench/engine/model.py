"""The transformer itself, for the Qwen2, Qwen3, Llama and Mistral families: flat tokens in, logits out.

Tokens of all rows lie one after another, so there is no padding to compute; which tokens see which is the
business of the attention that is handed in. The model keeps no state between calls.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from quantbench.engine.config import ModelConfig
from quantbench.engine.linear import Linear
from quantbench.engine.parameters import LayerParameters, Matrix, Parameters


class Attention(Protocol):
    """Queries [tokens, heads, head_dim], keys and values [tokens, kv_heads, head_dim] of one layer
    -> [tokens, heads * head_dim]."""

    def __call__(self, layer: int, queries: Tensor, keys: Tensor, values: Tensor, /) -> Tensor: ...


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "silu": F.silu,
    "swish": F.silu,
    "gelu": F.gelu,
    "gelu_pytorch_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "relu": F.relu,
}


@dataclass(frozen=True, slots=True)
class Layer:
    """One decoder layer, ready to run."""

    parameters: LayerParameters
    qkv: Linear
    output: Linear
    gate_up: Linear
    down: Linear


class Model:
    """One model on one device, activations in one dtype."""

    def __init__(
        self,
        config: ModelConfig,
        parameters: Parameters,
        make_linear: Callable[[Matrix], Linear],
        *,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.config = config
        self.norm = parameters.norm
        self.device, self.dtype = device, dtype
        self.embedding = make_linear(parameters.embedding)
        self.layers = tuple(make_layer(layer, make_linear) for layer in parameters.layers)
        self.head = self.embedding if parameters.tied else make_linear(parameters.head)
        self._activation = ACTIVATIONS[config.activation]
        self._tables = (torch.empty(0), torch.empty(0))
        self._table_positions = 0

    def reserve(self, positions: int) -> None:
        """Make room for texts of this many tokens: the cosine and sine tables grow as needed."""
        if positions > self._table_positions:
            cos, sin = self.config.rope.tables(positions)
            self._tables = (cos.to(self.device, self.dtype), sin.to(self.device, self.dtype))
            self._table_positions = positions

    def hidden(self, ids: Tensor, positions: Tensor, attention: Attention) -> Tensor:
        """Final normalised states [tokens, hidden_size]; ids and positions int64 [tokens]."""
        x = self.embedding.rows(ids).to(self.dtype)
        cos, sin = (table[positions][:, None, :] for table in self._tables)
        for number, layer in enumerate(self.layers):
            queries, keys, values = self._heads(layer, self._norm(x, layer.parameters.input_norm), cos, sin)
            x = x + layer.output(attention(number, queries, keys, values))
            gate, up = layer.gate_up(self._norm(x, layer.parameters.post_norm)).chunk(2, dim=-1)
            x = x + layer.down(self._activation(gate) * up)
        return self._norm(x, self.norm)

    def logits(self, hidden: Tensor) -> Tensor:
        """float32 [tokens, vocab_size] of states [tokens, hidden_size]."""
        return self.head(hidden).float()

    def _heads(self, layer: Layer, x: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Rotated queries and keys, and values, each [tokens, heads of its kind, head_dim]."""
        config = self.config
        heads = layer.qkv(x).view(len(x), -1, config.head_dim)
        turned, values = heads[:, : -config.kv_heads], heads[:, -config.kv_heads :]
        q_norm, k_norm = layer.parameters.q_norm, layer.parameters.k_norm
        if q_norm is not None and k_norm is not None:
            queries, keys = turned[:, : config.heads], turned[:, config.heads :]
            turned = torch.cat((self._norm(queries, q_norm), self._norm(keys, k_norm)), dim=1)
        turned = turned * cos + turned.roll(config.head_dim // 2, dims=-1) * sin
        return turned[:, : config.heads], turned[:, config.heads :], values

    def _norm(self, x: Tensor, weight: Tensor) -> Tensor:
        return F.rms_norm(x, weight.shape, weight, self.config.norm_eps)


def make_layer(parameters: LayerParameters, make_linear: Callable[[Matrix], Linear]) -> Layer:
    """A layer whose four matrix products are made by `make_linear`."""
    qkv, output, gate_up, down = (make_linear(matrix) for matrix in parameters.matrices)
    return Layer(parameters, qkv, output, gate_up, down)
