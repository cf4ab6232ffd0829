"""All parameters of one model as the engine holds them: packed matrices, norms and biases, nothing twice.

Projections that read the same input are one matrix (queries, keys and values; gate and up), so that a step
makes four matrix products a layer, more where it has experts. Nothing is computed here; `load` fills these,
`model` and the CUDA decoder read them. Another layout of the weights is Parameters over others (`map`).
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from itertools import accumulate

import torch
from torch import Tensor

from quantbench.decoding import HeldMatrix
from quantbench.engine.config import ModelConfig
from quantbench.engine.kv_format import position_bytes
from quantbench.settings import KvFormat
from quantbench.weights.formats import MixedWeight, Weight


@dataclass(slots=True, kw_only=True, eq=False)
class Matrix:
    """One weight matrix [out, in] and its bias [out]; `parts` are the checkpoint's names and their rows.

    `weight` alone may be set anew, to the same values in another layout, so that both never stay.
    """

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
        """What holds each part: the same weight for all, or another where formats differ."""
        if not isinstance(self.weight, MixedWeight):
            return (self.weight,) * len(self.parts)
        ends = list(accumulate(part.shape[0] for part in self.weight.parts))
        firsts = accumulate((rows for _, rows in self.parts[:-1]), initial=0)
        return tuple(self.weight.parts[bisect_right(ends, first)] for first in firsts)


@dataclass(frozen=True, slots=True)
class Norm:
    """Weight of a norm, in the activations' dtype, and the bias of a LayerNorm."""

    weight: Tensor
    bias: Tensor | None = None

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Every tensor held."""
        yield "weight", self.weight
        if self.bias is not None:
            yield "bias", self.bias


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerNorms:
    """The norms of a layer by their place, [hidden_size] each; None where the family has none."""

    before_attention: Norm | None = None
    behind_attention: Norm | None = None  # of what attention adds
    before_mlp: Norm | None = None
    behind_mlp: Norm | None = None  # of what the MLP adds
    queries: Norm | None = None  # over all heads together, [q_size]
    keys: Norm | None = None  # [kv_size]

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Every tensor held, by its place."""
        for field in fields(self):
            norm = getattr(self, field.name)
            if norm is not None:
                for name, tensor in norm.tensors():
                    yield f"{field.name}.{name}", tensor


@dataclass(frozen=True, slots=True)
class MlpParameters:
    """An MLP; the rows of `up` are gate, up where it has gates."""

    up: Matrix
    down: Matrix

    @property
    def matrices(self) -> tuple[Matrix, ...]:
        return (self.up, self.down)

    def map(self, change: Callable[[Matrix], Matrix]) -> "MlpParameters":
        """With every matrix changed."""
        return MlpParameters(change(self.up), change(self.down))


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpertParameters:
    """Experts, the router that chooses among them, and the expert that every token passes with its gate."""

    router: Matrix
    experts: tuple[MlpParameters, ...]
    shared: MlpParameters | None
    shared_gate: Matrix | None
    grouped: MlpParameters | None = None  # all experts' rows as one, where kernels want them: the same memory

    @property
    def matrices(self) -> tuple[Matrix, ...]:
        shared = self.shared.matrices if self.shared else ()
        gate = (self.shared_gate,) if self.shared_gate else ()
        return (self.router, *(m for expert in self.experts for m in expert.matrices), *shared, *gate)

    def map(self, change: Callable[[Matrix], Matrix]) -> "ExpertParameters":
        """With every matrix changed."""
        return ExpertParameters(
            router=change(self.router),
            experts=tuple(expert.map(change) for expert in self.experts),
            shared=self.shared.map(change) if self.shared else None,
            shared_gate=change(self.shared_gate) if self.shared_gate else None,
        )

    def unread_bytes(self, rows: int, chosen: int) -> int:
        """Bytes of the experts that a step of so many rows does not need, if routers choose evenly."""
        held = sum(m.weight.nbytes for expert in self.experts for m in expert.matrices)
        return round(held * (1 - chosen / len(self.experts)) ** rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerParameters:
    """One decoder layer; norms in the activations' dtype."""

    norms: LayerNorms
    qkv: Matrix  # rows: queries, keys, values
    q_norm: Tensor | None = None  # of each head, [head_dim]
    k_norm: Tensor | None = None
    smoothing: Tensor | None = None  # float32 [2, heads + kv_heads, head_dim]; see `key_smoothing.py`
    output: Matrix
    mlp: MlpParameters | ExpertParameters

    @property
    def matrices(self) -> tuple[Matrix, ...]:
        return (self.qkv, self.output, *self.mlp.matrices)

    @property
    def input_norm(self) -> Tensor:
        """Of a layer whose norms stand before attention and MLP alone, as in the CUDA kernels."""
        return weight_of(self.norms.before_attention)

    @property
    def post_norm(self) -> Tensor:
        """Of such a layer, before the MLP."""
        return weight_of(self.norms.before_mlp)

    @property
    def gate_up(self) -> Matrix:
        """Of a layer without experts; rows: gate, up."""
        return self._one_mlp.up

    @property
    def down(self) -> Matrix:
        """Of a layer without experts."""
        return self._one_mlp.down

    @property
    def _one_mlp(self) -> MlpParameters:
        if not isinstance(self.mlp, MlpParameters):
            raise TypeError("a layer with experts has more than one MLP")
        return self.mlp

    def vectors(self) -> Iterator[tuple[str, Tensor]]:
        """Every norm's tensors."""
        yield from self.norms.tensors()
        for name, tensor in (("q_norm", self.q_norm), ("k_norm", self.k_norm)):
            if tensor is not None:
                yield name, tensor

    def map(self, change: Callable[[Matrix], Matrix]) -> "LayerParameters":
        """With every matrix changed."""
        return replace(self, qkv=change(self.qkv), output=change(self.output), mlp=self.mlp.map(change))


def weight_of(norm: Norm | None) -> Tensor:
    """TypeError where there is no norm."""
    if norm is None:
        raise TypeError("the layer has no norm there")
    return norm.weight


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """A whole model; a tied head is the same object as the embedding."""

    config: ModelConfig
    embedding: Matrix
    layers: tuple[LayerParameters, ...]
    final_norm: Norm
    head: Matrix

    @property
    def norm(self) -> Tensor:
        """Weight of the final norm."""
        return self.final_norm.weight

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
        layers = tuple(layer.map(changed) for layer in self.layers)
        head = embedding if self.tied else changed(self.head)
        return replace(self, embedding=embedding, layers=layers, head=head)

    def step_bytes(self, batch_size: int, context: int, kv: KvFormat | None = None) -> tuple[int, int]:
        """(weight bytes, KV cache bytes) that a decode step reads; see `decoding.Decoder`.

        Of experts those that so many rows need, if routers choose evenly.
        """
        config = self.config
        weights = sum(tensor.nbytes for _, tensor in self.tensors())
        if not self.tied:  # of the embedding only the tokens' rows are read
            table = self.embedding.weight
            weights += table.read_bytes(batch_size) - table.nbytes
        mixtures = [layer.mlp for layer in self.layers if isinstance(layer.mlp, ExpertParameters)]
        weights -= sum(mlp.unread_bytes(batch_size, config.chosen_experts) for mlp in mixtures)
        seen = sum(min(context, window or context) for window in config.windows)
        position = position_bytes(config.kv_heads, config.head_dim, self.dtype, kv)
        return weights, batch_size * seen * position

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
            for name, tensor in layer.vectors():
                yield f"layers.{number}.{name}", tensor
        for name, tensor in self.final_norm.tensors():
            yield f"norm.{name}", tensor
