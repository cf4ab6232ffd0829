"""Blocks of GGUF types stand for the values that ggml gives them, in torch and in the CPU kernels."""

import math

import pytest
import torch
from torch import Tensor

from quantbench.engine.cpu.build import load_kernels
from quantbench.engine.cpu.linear import CpuLinear, declare
from quantbench.engine.parameters import Matrix
from quantbench.sources.ggml_types import FLOATS, TYPES_BY_NAME
from quantbench.weights.formats import BlockWeight

SINGLE = torch.finfo(torch.float32).eps
PACKED = [name for name in TYPES_BY_NAME if name not in FLOATS]
HALVES = {"Q4_1": 2, "Q5_1": 2, "Q4_K": 2, "Q5_K": 2}  # float16 at the start of a block; Q6_K's is at its end


def blocks(name: str, rows: int, inputs: int, seed: int = 0) -> BlockWeight:
    """Random codes and scales, every bit of a code used."""
    kind = TYPES_BY_NAME[name]
    generator = torch.Generator().manual_seed(seed)
    count = inputs // kind.values
    data = torch.randint(0, 256, (rows, count, kind.nbytes), dtype=torch.uint8, generator=generator)
    scales = (torch.rand(rows, count, 2, generator=generator) + 0.1).half().view(torch.uint8)
    if name == "Q6_K":
        data[..., 208:] = scales[..., :2]
    else:
        size = 2 * HALVES.get(name, 1)
        data[..., :size] = scales[..., :size]
    return BlockWeight(data.reshape(rows, -1), name)


@pytest.mark.parametrize("name", PACKED)
def test_values_are_those_of_gguf_py_bit_for_bit(name: str) -> None:
    gguf = pytest.importorskip("gguf")
    held = blocks(name, 64, 512)
    reference = gguf.dequantize(held.data.numpy(), gguf.GGMLQuantizationType[name])
    assert torch.equal(held.dequantize(), torch.from_numpy(reference))


def product_of(held: BlockWeight) -> CpuLinear:
    built = load_kernels()
    if built.kernels is None:
        pytest.skip(f"no CPU kernels: {built.reason}")
    declare(built.kernels)
    return CpuLinear(built.kernels, Matrix(weight=held, bias=None, parts=(("w", held.shape[0]),)))


def activations(rows: int, inputs: int) -> Tensor:
    return torch.randn(rows, inputs, generator=torch.Generator().manual_seed(rows))


def poison(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a kernel leaves unwritten is not a number."""
    monkeypatch.setattr("quantbench.engine.cpu.linear.torch.empty", lambda *size: torch.full(size, torch.nan))


@pytest.mark.parametrize("inputs", [576, 896, 4864])
@pytest.mark.parametrize("name", PACKED)
def test_the_kernel_multiplies_with_these_values(
    name: str, inputs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs -= inputs % TYPES_BY_NAME[name].values
    held = blocks(name, 37, inputs)
    product = product_of(held)
    values = held.dequantize().double()
    poison(monkeypatch)
    for rows in (1, 2, 3, 4, 5, 40):
        x = activations(rows, inputs)
        exact = x.double() @ values.T
        allowed = 2 * math.sqrt(inputs) * SINGLE * (x.abs().double() @ values.abs().T)
        assert bool(((product(x).double() - exact).abs() <= allowed).all())


@pytest.mark.parametrize("name", PACKED)
def test_a_rows_product_is_the_same_bit_for_bit_in_any_batch(name: str) -> None:
    product = product_of(blocks(name, 37, 512))
    x = activations(40, 512)
    together = product(x)
    for rows in (1, 2, 3, 4, 5, 39):
        assert torch.equal(product(x[:rows]), together[:rows])


@pytest.mark.parametrize("name", PACKED)
def test_each_input_meets_its_own_weight(name: str) -> None:
    held = blocks(name, 9, 512)
    product, eye = product_of(held), torch.eye(512)
    values = held.dequantize().T
    assert torch.equal(product(eye), values)
    for row in (0, 3, 4, 17, 31, 200, 511):
        assert torch.equal(product(eye[row : row + 1]), values[row : row + 1])


@pytest.mark.parametrize("name", PACKED)
def test_a_weight_counts_the_bytes_of_its_blocks(name: str) -> None:
    kind = TYPES_BY_NAME[name]
    held = blocks(name, 5, 512)
    assert held.shape == (5, 512)
    assert 8 * held.nbytes == 5 * 512 * kind.bits
    assert held.scheme == f"W{name.removeprefix('I')[1]}"


@pytest.mark.parametrize("name", PACKED)
def test_a_row_is_the_same_in_any_batch(name: str) -> None:
    built = load_kernels()
    if built.kernels is None:
        pytest.skip(f"no CPU kernels: {built.reason}")
    declare(built.kernels)
    product = CpuLinear(built.kernels, Matrix(weight=blocks(name, 37, 512), bias=None, parts=(("w", 37),)))
    x = torch.randn(20, 512, generator=torch.Generator().manual_seed(1))
    whole = product(x)
    for rows in (1, 2, 3, 4, 5):
        assert torch.equal(product(x[:rows].contiguous()), whole[:rows])
