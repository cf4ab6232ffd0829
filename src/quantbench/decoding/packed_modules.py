"""Layers of a transformers model over our packed weights: the module stays, its matrix changes.

A module keeps its class as a base of its new one, so that what the model's own code adds to a layer (an
offset of positions, a scale of embeddings) stays as it is. Where that code reads `weight` itself, it gets the
dequantized values, made on use.
"""

from typing import Any, Protocol

import torch
from torch import Tensor, nn

from quantbench.decoding.module_tensors import ModuleForm
from quantbench.weights.formats import Weight

CONV = "Conv1D"  # of transformers: a linear layer whose parameter is [in, out]
PLAIN = ("FalconLinear", CONV)  # classes with a forward of their own that is a linear layer's


class Product(Protocol):
    """What multiplies a matrix, bias included."""

    kernel: str
    bits: int  # of activations; 0 where they keep all

    def __call__(self, x: Tensor, /) -> Tensor:
        """x [rows, in] -> [rows, out], in the type of x."""
        ...


class PackedMatrix:
    """A layer whose matrix is a Weight: `packed` [out, in], its product, and what the layer runs."""

    packed: Weight
    product: Product
    kernel: str
    dtype: torch.dtype  # of activations

    @property
    def weight(self) -> Tensor:
        """The values in the activations' type, as the layer's own code expects them, made on each use."""
        return self.packed.as_dtype(self.dtype)

    def form(self) -> ModuleForm:
        """How the matrix is held, and what multiplies it."""
        rows, columns = self.packed.shape
        return ModuleForm(
            scheme=self.packed.scheme,
            parameters=rows * columns,
            format=self.packed.format,
            group_size=self.packed.group_size,
            kernel=self.kernel,
        )


class PackedLinear(PackedMatrix, nn.Linear):  # type: ignore[override]
    """A linear layer."""

    def forward(self, input: Tensor) -> Tensor:
        return self.product(input.reshape(-1, input.shape[-1])).reshape(*input.shape[:-1], -1)


class PackedTransposed(PackedMatrix, nn.Module):
    """A linear layer whose parameter was [in, out]."""

    @property
    def weight(self) -> Tensor:
        return self.packed.as_dtype(self.dtype).T

    def forward(self, input: Tensor) -> Tensor:
        return self.product(input.reshape(-1, input.shape[-1])).reshape(*input.shape[:-1], -1)


class PackedEmbedding(PackedMatrix, nn.Embedding):  # type: ignore[override]
    """A table of which the tokens' rows are dequantized."""

    def forward(self, input: Tensor) -> Tensor:
        rows = self.packed.dequantize(input.reshape(-1)).to(self.dtype)
        return rows.reshape(*input.shape, -1)


def base_of(module: nn.Module) -> type[PackedMatrix] | None:
    """What a layer becomes; None for a module whose matrix cannot be packed."""
    if isinstance(module, nn.Embedding):
        return PackedEmbedding if module.max_norm is None else None
    if isinstance(module, nn.Linear):
        return PackedLinear
    return PackedTransposed if type(module).__name__ == CONV else None


def has_own_code(module: nn.Module) -> bool:
    """Whether a layer's class does something else than its base."""
    kind: Any = type(module)
    return kind.__name__ not in PLAIN and kind.forward not in (nn.Linear.forward, nn.Embedding.forward)


def packed_class(kind: type[nn.Module], base: type[PackedMatrix], own: bool) -> type[nn.Module]:
    """The class of a packed layer: its own code comes first where it has some."""
    if kind in (nn.Linear, nn.Embedding):
        return base  # type: ignore[return-value]
    return type(f"Packed{kind.__name__}", (kind, base) if own else (base, kind), {})


def pack(module: nn.Module, weight: Weight, product: Product, dtype: torch.dtype) -> None:
    """Let a layer hold `weight` in place of its parameter; `base_of` knows which layers can."""
    kind, base, own = type(module), base_of(module), has_own_code(module)
    assert base is not None
    del module._parameters["weight"]
    module.__class__ = packed_class(kind, base, own)
    packed: Any = module
    packed.packed, packed.product, packed.dtype = weight, product, dtype
    packed.kernel = f"{kind.__name__}'s own code, {weight.format} dequantized" if own else product.kernel
