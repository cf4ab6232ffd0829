"""Weights made of weights: rows of several formats, and inputs in another order."""

import torch
from torch import Tensor

from quantbench.engine.composite import split
from quantbench.engine.config import read_config
from quantbench.engine.cpu.operations import cpu_operations
from quantbench.engine.parameters import Matrix
from quantbench.weights.formats import (
    FloatWeight,
    Int4Weight,
    Int8Weight,
    MixedWeight,
    PermutedWeight,
    TableWeight,
    Weight,
    stack,
)
from tests.engine.models import SHAPE


def eight(rows: int) -> Int8Weight:
    generator = torch.Generator().manual_seed(rows)
    q = torch.randint(-127, 128, (rows, 64), dtype=torch.int8, generator=generator)
    return Int8Weight(q, torch.rand(rows, generator=generator))


def four(rows: int, group: int = 32) -> Int4Weight:
    generator = torch.Generator().manual_seed(rows)
    codes = torch.randint(0, 256, (rows, 32), dtype=torch.uint8, generator=generator)
    scale = torch.rand(rows, 64 // group, generator=generator).half()
    return Int4Weight(codes, scale, -scale)


def together(weights: list[Weight]) -> Tensor:
    return torch.cat([weight.dequantize() for weight in weights])


def test_weights_of_one_format_become_one() -> None:
    weights: list[Weight] = [four(3), four(5)]
    joined = stack(weights)
    assert isinstance(joined, Int4Weight)
    assert torch.equal(joined.dequantize(), together(weights))


def test_weights_of_several_formats_keep_them() -> None:
    for other in (eight(4), four(4, group=64), FloatWeight(torch.rand(4, 64))):
        weights: list[Weight] = [four(3), other]
        joined = stack(weights)
        assert isinstance(joined, MixedWeight)
        assert torch.equal(joined.dequantize(), together(weights))
        assert joined.nbytes == sum(weight.nbytes for weight in weights)


def test_tables_that_differ_are_not_shared() -> None:
    codes, scale = torch.zeros(2, 32, dtype=torch.uint8), torch.ones(2, 1)
    one, other = torch.arange(16.0), torch.arange(16.0) + 1
    assert isinstance(stack([TableWeight(codes, scale, one, "nf4")] * 2), TableWeight)
    pair = [TableWeight(codes, scale, levels, "nf4") for levels in (one, other)]
    assert torch.equal(stack(pair).dequantize(), together(list(pair)))


def test_one_order_of_inputs_is_held_once() -> None:
    order = torch.randperm(64, generator=torch.Generator().manual_seed(0))
    weights: list[Weight] = [PermutedWeight(four(3), order), PermutedWeight(four(5), order)]
    joined = stack(weights)
    assert isinstance(joined, PermutedWeight) and isinstance(joined.inner, Int4Weight)
    assert torch.equal(joined.dequantize(), together(weights))
    unlike: list[Weight] = [PermutedWeight(four(3), order), PermutedWeight(four(5), order.flip(0))]
    assert torch.equal(stack(unlike).dequantize(), together(unlike))


def test_products_of_composed_weights_are_those_of_their_values() -> None:
    operations, _ = cpu_operations(read_config({**SHAPE, "model_type": "qwen2"}), "cpu", torch.float32)
    order = torch.randperm(64, generator=torch.Generator().manual_seed(0))
    weight = stack([PermutedWeight(four(3), order), eight(4), FloatWeight(torch.rand(5, 64))])
    bias, x = torch.rand(12), torch.rand(7, 64)
    matrix = Matrix(weight=weight, bias=bias, parts=(("q", 3), ("k", 4), ("v", 5)))
    product = operations.linear(matrix)
    residual = torch.rand(7, 12)
    expected = x @ weight.dequantize().T + bias + residual
    for prompt in (False, True):
        found = product(x, residual, prompt=prompt)
        assert float((found - expected).abs().max()) < (0.3 if prompt and product.prompt_bits else 1e-4)
    assert torch.equal(product.rows(torch.tensor([4, 11])), weight.dequantize()[[4, 11]])


def test_each_part_says_how_it_is_held() -> None:
    parts = [four(3), eight(4)]
    matrix = Matrix(weight=stack(parts), bias=None, parts=(("q", 3), ("k", 4)))
    assert dict(matrix.schemes()) == {"q": ("W4", 3 * 64), "k": ("W8", 4 * 64)}
    assert isinstance(matrix.weight, MixedWeight)
    assert [part.parts for part in split(matrix, matrix.weight)] == [(("q", 3),), (("k", 4),)]
