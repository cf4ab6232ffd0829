"""All parameters of one model as the engine holds them: packed matrices, norms and biases, nothing twice.

Projections that read the same input are one matrix (queries, keys and values; gate and up), so that a step
makes four matrix products a layer. Nothing is computed here; `load` fills these, `model` and the CUDA
decoder read them. Another layout of the weights is the same Parameters over other weights (`map`).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from quantbench.decoding import HeldMatrix
from quantbench.engine.config import ModelConfig
from quantbench.weights.formats import MixedWeight, Weight


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
        for (name, rows), weight in zip(self.parts, self.weights(), strict=True):
            yield name, (weight.scheme, rows * weight.shape[1])

    def held(self, *kernels: tuple[str, str]) -> Iterator[HeldMatrix]:
        """Each part, with its share of the bytes; biases are no part of it.

        `kernels` are those of new tokens and of prompts, one pair for all parts or one for each.
        """
        ways = kernels if len(kernels) > 1 else kernels * len(self.parts)
        parts = zip(self.parts, self.weights(), ways, strict=True)
        for (name, rows), weight, (kernel, prompt_kernel) in parts:
            yield HeldMatrix(
                name=name,
                format=weight.format,
                group_size=weight.group_size,
                parameters=rows * weight.shape[1],
                nbytes=weight.nbytes * rows // weight.shape[0],
                kernel=kernel,
                prompt_kernel=prompt_kernel,
            )

    def weights(self) -> tuple[Weight, ...]:
        """What holds each part: the same weight for all, or one for each where formats differ."""
        weight = self.weight
        return weight.parts if isinstance(weight, MixedWeight) else (weight,) * len(self.parts)


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

    config: ModelConfig
    embedding: Matrix
    layers: tuple[LayerParameters, ...]
    norm: Tensor
    head: Matrix

    @property
    def tied(self) -> bool:
        return self.head is self.embedding

    @property
    def dtype(self) -> torch.dtype:
        """Of the activations."""
        return self.norm.dtype

    @property
    def device(self) -> torch.device:
        return self.norm.device

    def map(self, change: Callable[[Weight], Weight]) -> "Parameters":
        """The same model with every weight changed, matrix by matrix; norms and biases are shared."""

        def changed(matrix: Matrix) -> Matrix:
            return replace(matrix, weight=change(matrix.weight))

        embedding = changed(self.embedding)
        layers = tuple(
            replace(
                layer,
                qkv=changed(layer.qkv),
                output=changed(layer.output),
                gate_up=changed(layer.gate_up),
                down=changed(layer.down),
            )
            for layer in self.layers
        )
        head = embedding if self.tied else changed(self.head)
        return replace(self, embedding=embedding, layers=layers, head=head)

    def step_bytes(self, batch_size: int, context: int) -> tuple[int, int]:
        """(weight bytes, KV cache bytes) that a decode step reads; see `decoding.Decoder`."""
        config = self.config
        weights = sum(tensor.nbytes for _, tensor in self.tensors())
        if not self.tied:  # of the embedding only the tokens' rows are read
            table = self.embedding.weight
            weights += table.read_bytes(batch_size) - table.nbytes
        seen = sum(min(context, window or context) for window in config.windows)
        return weights, batch_size * seen * 2 * config.kv_size * self.dtype.itemsize

    def schemes(self) -> dict[str, tuple[str, int]]:
        """Every part's name -> (scheme, parameter count), tied ones once."""
        return {name: held for matrix in self.matrices() for name, held in matrix.schemes()}

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
