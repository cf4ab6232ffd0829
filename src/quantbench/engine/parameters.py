"""All parameters of one model as the engine holds them: packed matrices, norms and biases, nothing twice.

Projections that read the same input are one matrix (queries, keys and values; gate and up), so that a step
makes four matrix products a layer. Nothing is computed here; `load` fills these, `model` and the CUDA
decoder read them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from quantbench.engine.weights import FloatWeight, Int4Weight, Int8Weight, Weight


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """One weight matrix [out, in] and its bias [out]; `parts` are the checkpoint's names and their rows."""

    weight: Weight
    bias: Tensor | None
    parts: tuple[tuple[str, int], ...]

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Every tensor held, named after the first part."""
        name = self.parts[0][0]
        for field, tensor in self.weight.tensors():
            yield f"{name}:{field}", tensor
        if self.bias is not None:
            yield f"{name}:bias", self.bias

    def schemes(self) -> Iterator[tuple[str, tuple[str, int]]]:
        """Each part's (scheme, parameter count)."""
        for name, rows in self.parts:
            yield name, (self.weight.scheme, rows * self.weight.shape[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerParameters:
    """One decoder layer; norms [hidden_size] in the activations' dtype."""

    input_norm: Tensor
    qkv: Matrix  # rows: queries, keys, values
    q_norm: Tensor | None  # [head_dim]
    k_norm: Tensor | None  # [head_dim]
    output: Matrix
    post_norm: Tensor
    gate_up: Matrix  # rows: gate, up
    down: Matrix

    @property
    def matrices(self) -> tuple[Matrix, ...]:
        return (self.qkv, self.output, self.gate_up, self.down)

    def norms(self) -> Iterator[tuple[str, Tensor]]:
        named = (
            ("input_norm", self.input_norm),
            ("q_norm", self.q_norm),
            ("k_norm", self.k_norm),
            ("post_norm", self.post_norm),
        )
        for name, tensor in named:
            if tensor is not None:
                yield name, tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """A whole model; a tied head is the same object as the embedding."""

    embedding: Matrix
    layers: tuple[LayerParameters, ...]
    norm: Tensor
    head: Matrix

    @property
    def tied(self) -> bool:
        return self.head is self.embedding

    def matrices(self) -> Iterator[Matrix]:
        """Every matrix once."""
        yield self.embedding
        for layer in self.layers:
            yield from layer.matrices
        if not self.tied:
            yield self.head

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Every tensor that holds parameters, once."""
        for matrix in self.matrices():
            yield from matrix.tensors()
        for number, layer in enumerate(self.layers):
            for name, tensor in layer.norms():
                yield f"layers.{number}.{name}", tensor
        yield "norm", self.norm


def stack(weights: Sequence[Weight]) -> Weight:
    """One weight whose rows are those of all `weights`, which must be of one kind and group size."""
    if len(weights) == 1:
        return weights[0]
    if all(isinstance(w, FloatWeight) for w in weights):
        return FloatWeight(_rows([w.values for w in weights if isinstance(w, FloatWeight)]))
    if all(isinstance(w, Int8Weight) for w in weights):
        eights = [w for w in weights if isinstance(w, Int8Weight)]
        return Int8Weight(_rows([w.q for w in eights]), _rows([w.scale for w in eights]))
    fours = [w for w in weights if isinstance(w, Int4Weight)]
    if len(fours) != len(weights):
        raise TypeError("projections that share an input must be quantized the same way")
    return Int4Weight(
        _rows([w.packed for w in fours]), _rows([w.scale for w in fours]), _rows([w.zero for w in fours])
    )


def _rows(tensors: list[Tensor]) -> Tensor:
    return torch.cat(tensors)
