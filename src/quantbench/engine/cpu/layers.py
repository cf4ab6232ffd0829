"""Whole steps in one call of `kernels.cpp`: the same products and steps, no Python between them.

A step of a small model is bound by the number of calls: greedy rows take several steps a call, others all
layers of one. This holds the addresses of every layer's parameters, which live as long as the layers do. It
serves new tokens of models whose layers are plain (see
`plain_layers`) with compiled products throughout; others, and prompts, go layer by layer.
"""

import ctypes
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from quantbench.engine.activations import ACTIVATIONS
from quantbench.engine.composite import JoinedLinear
from quantbench.engine.cpu.cached import Cached
from quantbench.engine.cpu.linear import CpuLinear, address
from quantbench.engine.cpu.operations import CpuOperations, CpuTokenAttention
from quantbench.engine.layer import Layer, Mlp
from quantbench.engine.linear import Linear
from quantbench.engine.model import Model
from quantbench.engine.operations import Attention, Operations
from quantbench.engine.plain_layers import beyond_plain_layers

MOST_PARTS = 3  # products whose outputs lie beside each other
WHOLE, ADDRESS = ctypes.c_int64, ctypes.c_void_p


class Joined(ctypes.Structure):
    """Products with the same input, as `layers.hpp` declares them."""

    class Operand(ctypes.Structure):
        """One product."""

        _fields_ = (
            *((name, WHOLE) for name in ("kind", "integers", "inputs", "outputs", "group")),
            *((name, ADDRESS) for name in ("data", "scale", "zero", "bias")),
        )

    _fields_ = (("count", WHOLE), ("parts", Operand * MOST_PARTS))


class LayerAddresses(ctypes.Structure):
    """One layer."""

    _fields_ = (
        *((name, ADDRESS) for name in ("attention_norm", "mlp_norm", "q_norm", "k_norm", "smoothing")),
        ("window", WHOLE),
        *((name, Joined) for name in ("qkv", "output", "up", "down")),
    )


class Ends(ctypes.Structure):
    """What stands before and behind the layers."""

    _fields_ = (("embedding", Joined), ("head", Joined), ("norm", ADDRESS))


class Shape(ctypes.Structure):
    """What all layers share."""

    _fields_ = (
        *((name, WHOLE) for name in ("layers", "hidden", "heads", "kv_heads", "dim", "width", "activation")),
        ("eps", ctypes.c_float),
    )


def cpu_layers(operations: Operations, model: Model) -> "CpuLayers | None":
    """The layers as one call; None where they are not all of the kind that it knows."""
    config = model.config
    if not isinstance(operations, CpuOperations) or not operations.own or beyond_plain_layers(config):
        return None
    found = [addresses(layer, window) for layer, window in zip(model.layers, config.windows, strict=True)]
    known = [layer for layer in found if layer is not None]
    return CpuLayers(operations.library, model, known) if len(known) == len(model.layers) else None


def addresses(layer: Layer, window: int | None) -> LayerAddresses | None:
    """Of one layer's parameters; None where one of its products is not compiled."""
    before_attention, before_mlp = layer.norms.before_attention, layer.norms.before_mlp
    if not isinstance(layer.mlp, Mlp) or before_attention is None or before_mlp is None:
        return None
    qkv, output, up, down = map(joined, layer.products())
    if qkv is None or output is None or up is None or down is None or output.count > 1 or down.count > 1:
        return None
    return LayerAddresses(
        address(before_attention.weight),
        address(before_mlp.weight),
        address(layer.head_norms.queries),
        address(layer.head_norms.keys),
        address(layer.head_norms.smoothing),
        window or 0,
        qkv,
        output,
        up,
        down,
    )


def ends_of(model: Model) -> Ends | None:
    """Of a model; None where embedding or head is not compiled."""
    embedding, head = joined(model.embedding), joined(model.head)
    if embedding is None or head is None or embedding.count > 1 or head.count > 1:
        return None
    return Ends(embedding, head, address(model.norm.weight))


def joined(product: Linear) -> Joined | None:
    """One product or several beside each other; None where one is not compiled."""
    products = product.products if isinstance(product, JoinedLinear) else (product,)
    known = [part for part in products if isinstance(part, CpuLinear)]
    if len(known) != len(products) or len(known) > MOST_PARTS:
        return None
    parts = (Joined.Operand * MOST_PARTS)(*(Joined.Operand(*part.operand) for part in known))
    return Joined(len(known), parts)


class CpuLayers:
    """The layers of one model."""

    def __init__(self, library: ctypes.CDLL, model: Model, layers: Sequence[LayerAddresses]) -> None:
        config = model.config
        self._call, self._steps, self._count = (
            library.quantbench_layers,
            library.quantbench_steps,
            len(layers),
        )
        self._ends = ends_of(model)
        self._layers = (LayerAddresses * len(layers))(*layers)
        self._caches = (Cached * len(layers))()
        self._shape = Shape(
            layers=len(layers),
            hidden=config.hidden_size,
            heads=config.heads,
            kv_heads=config.kv_heads,
            dim=config.head_dim,
            width=max(config.mlp_widths),
            activation=ACTIVATIONS[config.activation].number,
            eps=config.norm_eps,
        )

    def __call__(self, x: Tensor, attention: Attention) -> Tensor | None:
        """States [tokens, hidden_size] behind all layers, of x, which is overwritten; None for prompts."""
        if not isinstance(attention, CpuTokenAttention) or x.dtype is not torch.float32:
            return None
        x = x.contiguous()
        self._call(*self._arguments(attention), len(x), *attention.tokens(), x.data_ptr())
        return x

    def steps(self, tokens: Tensor, attention: Attention, stops: Tensor, most: int) -> Tensor | None:
        """The most likely tokens after int64 [rows], and after those, int64 [at most `most`, rows].

        The last are those of the first step that draws one of `stops`, int64 [n], or NO_TOKEN. The positions
        of `attention` move on. None where embedding or head is not compiled.
        """
        if not isinstance(attention, CpuTokenAttention) or self._ends is None:
            return None
        rows = len(tokens)
        drawn = tokens.new_empty(most + 1, rows)
        drawn[0] = tokens
        positions, _, capacity = attention.tokens()
        asked = (stops.data_ptr(), len(stops), most, drawn.data_ptr())
        ends = ctypes.byref(self._ends)
        count = self._steps(*self._arguments(attention), ends, rows, positions, capacity, *asked)
        return drawn[1 : 1 + count]

    def _arguments(self, attention: CpuTokenAttention) -> tuple[Any, ...]:
        """What both calls begin with."""
        for number in range(self._count):
            self._caches[number] = attention.cached(number)
        return self._layers, self._caches, ctypes.byref(self._shape)
