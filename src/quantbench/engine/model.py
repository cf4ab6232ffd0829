"""The transformer itself, for the Qwen2, Qwen3, Llama and Mistral families: flat tokens in, logits out.

Tokens of all rows lie one after another, so there is no padding to compute; which tokens see which is the
business of the attention that is handed in. The model keeps no state between calls.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from quantbench.engine.linear import Linear
from quantbench.engine.operations import Attention, HeadNorms, Operations, Rotation
from quantbench.engine.parameters import LayerParameters, Parameters


@dataclass(frozen=True, slots=True)
class Layer:
    """One decoder layer, ready to run."""

    input_norm: Tensor
    qkv: Linear
    head_norms: HeadNorms
    output: Linear
    post_norm: Tensor
    gate_up: Linear
    down: Linear


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
        self.layers = tuple(make_layer(layer, operations) for layer in parameters.layers)
        self.norm = parameters.norm
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
        norm, gated = self.operations.norm, self.operations.gated
        x = self.embedding.rows(ids).to(self.dtype)
        for number, layer in enumerate(self.layers):
            mixed = attention(number, layer.qkv(norm(x, layer.input_norm), prompt=prompt), layer.head_norms)
            if wanted is not None and number == len(self.layers) - 1:
                mixed, x = mixed[wanted], x[wanted]
            x = layer.output(mixed, x, prompt=prompt)
            wide = gated(layer.gate_up, norm(x, layer.post_norm), prompt=prompt)
            x = layer.down(wide, x, prompt=prompt)
        return norm(x, self.norm)

    def logits(self, hidden: Tensor) -> Tensor:
        """float32 [tokens, vocab_size] of states [tokens, hidden_size], of prompts too with all bits."""
        return self.head(hidden).float()


def make_layer(parameters: LayerParameters, operations: Operations) -> Layer:
    """A layer whose four matrix products are made by `operations`."""
    qkv, output, gate_up, down = (operations.linear(matrix) for matrix in parameters.matrices)
    norms = HeadNorms(parameters.q_norm, parameters.k_norm)
    return Layer(parameters.input_norm, qkv, norms, output, parameters.post_norm, gate_up, down)
