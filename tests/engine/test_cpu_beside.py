"""Weights with their rows side by side: the same values, and the kernels that read them so."""

import math
from functools import partial

import pytest
import torch
from torch import Tensor

from quantbench.engine.cpu import build
from quantbench.engine.cpu.linear import CpuLinear
from quantbench.engine.cpu.operations import strip_of
from quantbench.engine.parameters import Matrix
from quantbench.weights.formats import (
    BesideWeight,
    IntegerWeight,
    MixedWeight,
    PermutedWeight,
    Weight,
)
from quantbench.weights.quantizers.int4_double import quantize_int4_double
from tests.engine.models import native, reference_model
from tests.engine.test_cpu_kernels import SINGLE, weight

CODES = ("int4-32", "int4-128", "double-32", "double-64", "zeros-32", "zeros-64")
KINDS = ("float32", "float16", "bfloat16", "int8", *CODES)
SHAPES = ((16, 128), (64, 128), (80, 256), (144, 384))  # strips of 16 rows, 64, 64 and 16, twice 64 and 16
CASES = [*((kind, shape) for kind in KINDS for shape in SHAPES), ("float16", (48, 176)), ("int8", (32, 16))]


def held_as(kind: str, rows: int, columns: int) -> Weight:
    """A weight of random values; 'zeros-32' are 4-bit codes with zero points for groups of 32."""
    if not kind.startswith("zeros"):
        return weight(kind, rows, columns)
    draw = torch.Generator().manual_seed(rows)
    groups = columns // int(kind.removeprefix("zeros-"))
    codes = torch.randint(0, 256, (rows, columns // 2), generator=draw).to(torch.uint8)
    scale = (torch.rand(rows, groups, generator=draw) / 8).half()
    return IntegerWeight(codes, scale, torch.randint(0, 16, (rows, groups), generator=draw).half(), 4)


@pytest.mark.parametrize(("kind", "shape"), CASES)
@pytest.mark.parametrize("strip", [16, 64])
def test_rows_side_by_side_are_the_same_values_in_the_same_bytes(
    kind: str, shape: tuple[int, int], strip: int
) -> None:
    held = held_as(kind, *shape)
    laid_out = held.cpu_layout(strip)
    assert isinstance(laid_out, BesideWeight)
    assert torch.equal(laid_out.dequantize(), held.dequantize())
    some = torch.tensor([shape[0] - 1, 0, 5])
    assert torch.equal(laid_out.dequantize(some), held.dequantize(some))
    assert sorted(all_bytes(laid_out)) == sorted(all_bytes(held))


def all_bytes(held: Weight) -> list[int]:
    return [byte for _, tensor in held.tensors() for byte in tensor.reshape(-1).view(torch.uint8).tolist()]


def test_words_of_a_strip_follow_each_other_input_by_input() -> None:
    held = weight("double-32", 48, 64)
    words = dict(held.tensors())["packed"].view(torch.int32)
    laid_out = dict(held.cpu_layout(32).tensors())["packed"].view(torch.int32).flatten()
    assert torch.equal(laid_out[:32], words[:32, 0])
    assert torch.equal(laid_out[32 * 8 : 32 * 8 + 16], words[32:, 0])


def test_rows_that_fill_no_vector_stay_as_they_are() -> None:
    held = weight("double-32", 24, 64)
    assert held.cpu_layout(64) is held
    assert weight("double-32", 16, 64).cpu_layout(0).cpu_operand() is not None


def test_parts_and_inner_weights_are_laid_out_each() -> None:
    held = weight("double-32", 16, 64)
    mixed = MixedWeight((held, weight("float16", 8, 64))).cpu_layout(64)
    assert isinstance(mixed, MixedWeight) and isinstance(mixed.parts[0], BesideWeight)
    permuted = PermutedWeight(held, torch.randperm(64)).cpu_layout(64)
    assert isinstance(permuted, PermutedWeight) and isinstance(permuted.inner, BesideWeight)


STRIP = strip_of("cpu")
KERNELS = pytest.mark.skipif(not STRIP, reason="the kernels of this processor take rows as they are")


def product(held: Weight, bias: Tensor | None = None) -> CpuLinear:
    library = build.load_kernels().kernels
    assert library is not None
    return CpuLinear(library, Matrix(weight=held, bias=bias, parts=(("w", held.shape[0]),)))


@KERNELS
@pytest.mark.parametrize(("kind", "shape"), CASES)
def test_products_are_those_in_float64_and_nothing_else_is_written(kind: str, shape: tuple[int, int]) -> None:
    held = held_as(kind, *shape)
    draw = torch.Generator().manual_seed(3)
    bias = torch.randn(shape[0], generator=draw)
    made = product(held.cpu_layout(STRIP), bias)
    values = held.dequantize().double()
    for rows in (1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 14, 70):
        x = torch.randn(rows, shape[1], generator=draw)
        residual = torch.randn(rows, shape[0], generator=draw)
        exact = x.double() @ values.T + bias.double() + residual.double()
        size = (
            x.double().abs() @ (values.abs() + (16 * step_of(held)[:, None] if kind in CODES else 0)).T
            + bias.abs()
            + residual.abs()
        )
        space = torch.full((rows + 2, shape[0]), torch.nan)
        made._call(*made._arguments(x, residual, space[1:-1]))
        assert ((space[1:-1] - exact).abs() <= 2 * math.sqrt(shape[1]) * SINGLE * size).all()
        assert space[0].isnan().all() and space[-1].isnan().all()


def step_of(held: Weight) -> Tensor:
    """The greatest difference of neighbouring codes in each row: what codes from 0 on are rounded by."""
    values = held.dequantize().double()
    return (values.amax(1) - values.amin(1)) / 15


@KERNELS
@pytest.mark.parametrize("kind", KINDS)
def test_a_rows_product_has_the_same_bits_in_any_batch(kind: str) -> None:
    made = product(held_as(kind, 80, 256).cpu_layout(STRIP), torch.randn(80))
    x = torch.randn(40, 256)
    together = made(x)
    for rows in (*range(1, 21), 37, 38, 39):
        assert torch.equal(made(x[:rows]), together[:rows])


@KERNELS
@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_looked_up_with_the_bits_of_the_reference(kind: str) -> None:
    held = held_as(kind, 144, 256)
    ids = torch.tensor([0, 143, 64, 7, 128, 63])
    assert torch.equal(product(held.cpu_layout(STRIP)).rows(ids), held.dequantize(ids))


@KERNELS
def test_a_model_of_4_bits_holds_its_rows_side_by_side() -> None:
    quantize = partial(quantize_int4_double, group_size=32)
    decoder = native(reference_model("qwen2-tied", intermediate_size=64, vocab_size=96), quantize)
    weights = [matrix.weight for matrix in decoder._parameters.matrices()]
    assert all(isinstance(each, BesideWeight) for each in weights)
