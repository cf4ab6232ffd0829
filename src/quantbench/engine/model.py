"""The transformer itself, for every family of `sources.families`: flat tokens in, logits out.

Tokens of all rows lie one after another, so there is no padding to compute; which tokens see which is the
business of the attention that is handed in. The model keeps no state between calls.
"""

import torch
from torch import Tensor

from quantbench.engine.layer import make_layer
from quantbench.engine.operations import Attention, Operations, Rotation
from quantbench.engine.parameters import Parameters


class Model:
    """One model on one device, activations in one dtype."""

    def __init__(
        self,
        parameters: Parameters,
        operations: Operations,
        *,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        config = parameters.config
        self.config, self.device, self.dtype = config, device, dtype
        self.operations = operations
        self.embedding = operations.linear(parameters.embedding)
        self.layers = tuple(make_layer(config, layer, operations) for layer in parameters.layers)
        self.norm = parameters.final_norm
        self.head = self.embedding if parameters.tied else operations.linear(parameters.head)
        self.rotation = Rotation(config, device, dtype)

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
        last = len(self.layers) - 1
        for number, layer in enumerate(self.layers):
            x = layer(number, x, attention, wanted if number == last else None, prompt=prompt)
        return self.operations.norm(x, self.norm)

    def logits(self, hidden: Tensor) -> Tensor:
        """float32 [tokens, vocab_size] of states [tokens, hidden_size], of prompts too with all bits."""
        logits, cap = self.head(hidden).float(), self.config.logit_cap
        return logits if cap is None else self.operations.capped(logits, cap)
