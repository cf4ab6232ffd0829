"""The one copy of the weights that all CUDA kernels share: how rows lie in memory, and the way back.

Float and 8-bit matrices are used as the engine already holds them: row-major [out, in], 8-bit ones with a
float32 scale per row beside them. Only 4-bit matrices change: `Int4Rows`. Projections that share an input are
one matrix, rows in this order: queries, keys, values; all gate rows, then all up rows. No kernel is here, and
converting never needs a second copy of more than one matrix.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from quantbench.engine.config import ModelConfig
from quantbench.engine.parameters import Matrix, Parameters
from quantbench.engine.weights import FloatWeight, Int4Weight, Int8Weight, Weight


@dataclass(frozen=True, slots=True)
class Int4Rows:
    """4-bit rows, each one run of int32 words: the nibbles, then a scale and a zero a group, then padding.

    words int32 [out, row_words]; a row's words are
    - [0, in/8): nibbles, group after group, group_size / 8 words each. Taken as bytes (little endian), byte e
      of a group of g inputs holds input e in its low and input e + g/2 in its high nibble, so that the low
      nibbles of a group meet one contiguous slice of x and the high nibbles the next.
    - [in/8, in/8 + in/group_size): per group the float16 scale (low 16 bits) and zero (high 16 bits):
      w = (nibble - 8) * scale + zero.
    - padding (zeros) until row_words is a multiple of 4: every row starts at a multiple of 16 bytes.
    """

    words: Tensor
    in_features: int
    group_size: int

    @property
    def shape(self) -> tuple[int, int]:
        return (self.words.shape[0], self.in_features)

    @property
    def scheme(self) -> str:
        return "W4"

    @property
    def nibble_words(self) -> int:
        """Words of a row before its scales."""
        return self.in_features // 8

    @property
    def groups(self) -> int:
        return self.in_features // self.group_size

    def dequantize(self, rows: Tensor | None = None) -> Tensor:
        """The values as float32 [out or len(rows), in]."""
        return unpack(self if rows is None else replace(self, words=self.words[rows])).dequantize()

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        yield "words", self.words


PackedWeight = FloatWeight | Int8Weight | Int4Rows


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedMatrix:
    """One weight matrix [out, in] and its bias [out]; `parts` are the checkpoint's names and their rows."""

    weight: PackedWeight
    bias: Tensor | None
    parts: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedLayer:
    """One decoder layer; norms [hidden_size] and [head_dim] in the activations' dtype."""

    input_norm: Tensor
    qkv: PackedMatrix
    q_norm: Tensor | None
    k_norm: Tensor | None
    output: PackedMatrix
    post_norm: Tensor
    gate_up: PackedMatrix
    down: PackedMatrix


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedModel:
    """A whole model in the kernels' layout; a tied head is the same object as the embedding."""

    config: ModelConfig
    embedding: PackedMatrix
    layers: tuple[PackedLayer, ...]
    norm: Tensor
    head: PackedMatrix

    @property
    def dtype(self) -> torch.dtype:
        """Of the activations."""
        return self.norm.dtype

    @property
    def device(self) -> torch.device:
        return self.norm.device

    def matrices(self) -> Iterator[PackedMatrix]:
        """Every matrix once."""
        yield self.embedding
        for layer in self.layers:
            yield from (layer.qkv, layer.output, layer.gate_up, layer.down)
        if self.head is not self.embedding:
            yield self.head

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Every tensor that holds parameters, once, with its name."""
        for matrix in self.matrices():
            name = matrix.parts[0][0]
            for field, tensor in matrix.weight.tensors():
                yield f"{name}:{field}", tensor
            if matrix.bias is not None:
                yield f"{name}:bias", matrix.bias
        for number, layer in enumerate(self.layers):
            for kind in ("input_norm", "q_norm", "k_norm", "post_norm"):
                if (norm := getattr(layer, kind)) is not None:
                    yield f"layers.{number}.{kind}", norm
        yield "norm", self.norm


def pack(weight: Weight) -> PackedWeight:
    """The weight in the kernels' layout; float and 8-bit ones are returned as they are."""
    if not isinstance(weight, Int4Weight):
        return weight
    out, inputs = weight.shape
    half = weight.group_size // 2
    nibbles = torch.stack((weight.packed & 15, weight.packed >> 4), dim=-1).reshape(out, -1, 2, half)
    packed = (nibbles[:, :, 0] | (nibbles[:, :, 1] << 4)).reshape(out, -1)
    affine = torch.stack((weight.scale, weight.zero), dim=-1).view(torch.uint8).reshape(out, -1)
    size = packed.shape[1] + affine.shape[1]
    rows = torch.zeros(out, -(-size // 16) * 16, dtype=torch.uint8, device=packed.device)
    rows[:, : packed.shape[1]] = packed
    rows[:, packed.shape[1] : size] = affine
    return Int4Rows(rows.view(torch.int32), inputs, weight.group_size)


def unpack(weight: PackedWeight) -> Weight:
    """The engine's own form again: the inverse of `pack`, bit for bit."""
    if not isinstance(weight, Int4Rows):
        return weight
    out, inputs = weight.shape
    data = weight.words.contiguous().view(torch.uint8)
    bytes_ = data[:, : inputs // 2].reshape(out, -1, weight.group_size // 2)
    nibbles = torch.cat((bytes_ & 15, bytes_ >> 4), dim=-1).reshape(out, inputs // 2, 2)
    packed = nibbles[..., 0] | (nibbles[..., 1] << 4)
    affine = data[:, inputs // 2 : inputs // 2 + 4 * weight.groups].contiguous().view(torch.float16)
    scale, zero = affine.reshape(out, -1, 2).unbind(-1)
    return Int4Weight(packed, scale.contiguous(), zero.contiguous())


def pack_model(config: ModelConfig, parameters: Parameters) -> PackedModel:
    """All parameters in the kernels' layout. The caller drops `parameters` so that one copy remains.

    Matrices are converted one by one; what need not change (float, 8-bit, norms, biases) is shared.
    """

    def packed(matrix: Matrix) -> PackedMatrix:
        return PackedMatrix(weight=pack(matrix.weight), bias=matrix.bias, parts=matrix.parts)

    embedding = packed(parameters.embedding)
    layers = tuple(
        PackedLayer(
            input_norm=layer.input_norm,
            qkv=packed(layer.qkv),
            q_norm=layer.q_norm,
            k_norm=layer.k_norm,
            output=packed(layer.output),
            post_norm=layer.post_norm,
            gate_up=packed(layer.gate_up),
            down=packed(layer.down),
        )
        for layer in parameters.layers
    )
    head = embedding if parameters.tied else packed(parameters.head)
    return PackedModel(config=config, embedding=embedding, layers=layers, norm=parameters.norm, head=head)
