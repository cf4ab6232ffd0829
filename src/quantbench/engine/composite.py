"""Products with weights that are made of weights: rows of several formats, and inputs in another order."""

from collections.abc import Sequence

import torch
from torch import Tensor

from quantbench.engine.linear import AS_LINEAR, Linear
from quantbench.engine.parameters import Matrix
from quantbench.weights.formats import MixedWeight, Weight


def split(matrix: Matrix, weight: MixedWeight) -> list[Matrix]:
    """One matrix for each part of a mixed weight, with its share of the bias."""
    sizes = [part.shape[0] for part in weight.parts]
    biases = [None] * len(sizes) if matrix.bias is None else torch.split(matrix.bias, sizes)
    return [
        Matrix(weight=part, bias=bias, parts=(name,))
        for part, bias, name in zip(weight.parts, biases, matrix.parts, strict=True)
    ]


class JoinedLinear:
    """The outputs of several products with the same input, beside each other."""

    def __init__(self, products: Sequence[Linear], weight: Weight) -> None:
        self.products, self._weight = tuple(products), weight
        self.kernel = "; ".join(dict.fromkeys(product.kernel for product in products))
        ways = dict.fromkeys(product.prompt_kernel for product in products)
        self.prompt_kernel = AS_LINEAR if list(ways) == [AS_LINEAR] else "; ".join(ways)
        self.bits = min((p.bits for p in products if p.bits), default=0)
        self.prompt_bits = min((p.prompt_bits for p in products if p.prompt_bits), default=0)
        self.invariant = all(product.invariant for product in products)

    def __call__(self, x: Tensor, residual: Tensor | None = None, *, prompt: bool = False) -> Tensor:
        y = x.new_empty(len(x), self._weight.shape[0])
        start = 0
        for product in self.products:  # each is copied before the next may use the same memory
            part = product(x, prompt=prompt)
            y[:, start : start + part.shape[1]] = part
            start += part.shape[1]
        return y if residual is None else y.add_(residual)

    def rows(self, ids: Tensor) -> Tensor:
        return self._weight.dequantize(ids)


class GatheredLinear:
    """A product whose weight reads its inputs in the given order."""

    def __init__(self, product: Linear, matrix: Matrix, order: Tensor) -> None:
        self._product, self._matrix, self._order = product, matrix, order
        self.kernel = f"inputs gathered, then {product.kernel}"
        self.bits = product.bits
        self.prompt_kernel, self.prompt_bits = product.prompt_kernel, product.prompt_bits
        self.invariant = product.invariant

    def __call__(self, x: Tensor, residual: Tensor | None = None, *, prompt: bool = False) -> Tensor:
        return self._product(x[:, self._order], residual, prompt=prompt)

    def rows(self, ids: Tensor) -> Tensor:
        return self._matrix.weight.dequantize(ids)
