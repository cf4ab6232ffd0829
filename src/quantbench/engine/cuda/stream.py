"""The states between halves of layers, in float32: what is yet to be added, and the norms that read them.

Decode steps and prompt passes walk through the layers in the same way (`run_layers`) and differ in how they
make products and attention.
"""

from typing import Protocol

import torch
from torch import Tensor

from quantbench.engine.cuda.operations import StepOperations
from quantbench.engine.cuda.triton.interleave import NATURAL
from quantbench.engine.cuda.triton.join import Added
from quantbench.engine.parameters import ExpertParameters, LayerParameters, Matrix, Norm, Parameters


class Stream:
    """States of some rows; its buffers are allocated once."""

    def __init__(self, model: Parameters, operations: StepOperations, rows: int) -> None:
        shape, device = (rows, model.config.hidden_size), model.device
        self._config, self._ops = model.config, operations
        self._states = torch.empty(shape, dtype=torch.float32, device=device)
        self._normed = torch.empty(shape, dtype=model.dtype, device=device)
        self._pending: list[Added] = []

    def begin(self, embedding: Matrix, tokens: Tensor) -> None:
        """The rows of tokens, int32."""
        self._pending.clear()
        self._ops.embed(embedding, tokens, self._states)
        if self._config.embedding_scale != 1:
            self._states.mul_(self._config.embedding_scale)

    def add(self, added: Added) -> None:
        """Added by whoever reads next."""
        self._pending.append(added)

    def read(self, norm: Norm | None, order: int = NATURAL) -> Tensor:
        """The states through a norm, activations [rows, width] in `order`; the next reading overwrites."""
        config = self._config
        pending, self._pending = self._pending, []
        last = pending.pop() if pending else None
        for added in pending:
            self._ops.join(config, self._states, added, None, None)
        scaled = config.residual_scale != 1 or config.centered_norms
        if norm is None or scaled or (last is not None and last.norm is not None):
            self._ops.join(config, self._states, last, norm, self._normed, order)
        else:
            both = (None, None) if last is None else (last.sums, last.bias)
            self._ops.add_norm(self._states, both, norm.weight, config.norm_eps, self._normed, order)
        return self._normed


class LayerPass(Protocol):
    """The halves of a layer; what they return is added to the states, without its norm."""

    def attend(self, number: int, layer: LayerParameters, x: Tensor) -> Added: ...

    def mlp(self, layer: LayerParameters, x: Tensor) -> Added: ...

    def order(self, matrix: Matrix) -> int:
        """In which order the inputs of a matrix are written."""
        ...


def run_layers(model: Parameters, stream: Stream, halves: LayerPass) -> None:
    """All layers; what the last one adds is pending in the stream."""
    for number, layer in enumerate(model.layers):
        norms = layer.norms
        x = stream.read(norms.before_attention, halves.order(layer.qkv))
        attended = with_norm(halves.attend(number, layer, x), norms.behind_attention)
        if not model.config.parallel:
            stream.add(attended)
        mixture = isinstance(layer.mlp, ExpertParameters)  # which several matrices read
        order = NATURAL if mixture else halves.order(layer.gate_up)
        out = with_norm(halves.mlp(layer, stream.read(norms.before_mlp, order)), norms.behind_mlp)
        if model.config.parallel:
            stream.add(attended)
        stream.add(out)


def with_norm(added: Added, norm: Norm | None) -> Added:
    """Normed before it is added, where the family does."""
    return added if norm is None else Added(added.sums, added.bias, norm)
