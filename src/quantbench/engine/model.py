"""The transformer itself, for every family of `sources.families`: flat tokens in, logits out.

Tokens of all rows lie one after another, so there is no padding to compute; which tokens see which is the
business of the attention that is handed in. The model keeps no state between calls.
"""

from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor

from quantbench.engine.kv_cache import KeyValueCache
from quantbench.engine.layer import make_layer
from quantbench.engine.linear import Linear
from quantbench.engine.operations import Attention, Operations, Rotation
from quantbench.engine.parameters import Parameters
from quantbench.engine.plain.operations import PlainOperations
from quantbench.settings import KvFormat


class Stack(Protocol):
    """All layers at once; None for an attention or ends unknown to it."""

    def __call__(self, x: Tensor, attention: Attention) -> Tensor | None:
        """Over x [tokens, hidden_size], in place."""
        ...

    def steps(self, tokens: Tensor, attention: Attention, stops: Tensor, most: int) -> Tensor | None:
        """Steps, each row's most likely token next, int64 [at most `most`, rows]; until one of `stops`."""
        ...


class Model:
    """One model on one device, activations in one dtype."""

    def __init__(
        self,
        parameters: Parameters,
        operations: Operations,
        *,
        device: torch.device,
        dtype: torch.dtype,
        kv: KvFormat | None = None,
    ) -> None:
        config = parameters.config
        self.config, self.device, self.dtype, self.kv = config, device, dtype, kv
        self.operations = operations
        self.embedding = operations.linear(parameters.embedding)
        self.layers = tuple(make_layer(config, layer, operations) for layer in parameters.layers)
        self.norm = parameters.final_norm
        self.head = self.embedding if parameters.tied else operations.linear(parameters.head)
        self.rotation = Rotation(config, device, dtype)
        self.stack: Stack | None = None  # all layers at once, where a device has a way to do that

    def cache(self, rows: int, capacity: int) -> KeyValueCache:
        """For so many texts of so many tokens."""
        return KeyValueCache(
            self.config, rows=rows, capacity=capacity, device=self.device, dtype=self.dtype, kv=self.kv
        )

    def hidden(
        self, ids: Tensor, attention: Attention, wanted: Tensor | None = None, *, prompt: bool = False
    ) -> Tensor:
        """Final normalised states [tokens, hidden_size] of tokens int64 [tokens].

        `prompt` says that they are prompts to be continued; see `linear.Linear`.

        With `wanted` (places int64 [n]) only theirs, [n, hidden_size]: the rest of the last layer behind its
        keys and values is not computed, as nothing reads it.
        """
        rows, scale = self.embedding.rows(ids), self.config.embedding_scale
        x = (rows if scale == 1 else rows * scale).to(self.dtype)
        if self.stack and wanted is None and (states := self.stack(x, attention)) is not None:
            return self.operations.norm(states, self.norm)
        last = len(self.layers) - 1
        for number, layer in enumerate(self.layers):
            x = layer(number, x, attention, wanted if number == last else None, prompt=prompt)
        return self.operations.norm(x, self.norm)

    def logits(self, hidden: Tensor) -> Tensor:
        """float32 [tokens, vocab_size] of states [tokens, hidden_size], of prompts too with all bits."""
        logits, cap = self.head(hidden).float(), self.config.logit_cap
        return logits if cap is None else self.operations.capped(logits, cap)


def own_products_only(model: Model) -> bool:
    """Whether the compiled CPU kernels run everything whose sums could depend on the number of rows."""
    own = model.operations.name != PlainOperations.name
    return own and all(matrix.invariant for matrix in (model.head, *layer_matrices(model)))


def layer_matrices(model: Model) -> Iterator[Linear]:
    """The matrices of all layers, without the head."""
    for layer in model.layers:
        yield from layer.products()
