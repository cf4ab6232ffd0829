"""Blocks of GGUF types stand for the values that ggml gives them, in torch and in the CPU kernels."""

import pytest
import torch
from torch import Tensor

from quantbench.engine.cpu.build import load_kernels
from quantbench.engine.cpu.linear import CpuLinear, declare
from quantbench.engine.parameters import Matrix
from quantbench.sources.ggml_types import FLOATS, TYPES_BY_NAME
from quantbench.weights.formats import BlockWeight

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


@pytest.mark.parametrize("name", PACKED)
def test_the_kernel_multiplies_with_these_values(name: str) -> None:
    built = load_kernels()
    if built.kernels is None:
        pytest.skip(f"no CPU kernels: {built.reason}")
    declare(built.kernels)
    held = blocks(name, 37, 512)
    product = CpuLinear(built.kernels, Matrix(weight=held, bias=None, parts=(("w", 37),)))
    values: Tensor = held.dequantize()
    for rows in (1, 2, 3, 4, 5, 40):
        x = torch.randn(rows, 512, generator=torch.Generator().manual_seed(rows))
        exact = x.double() @ values.double().T
        allowed = 512 * torch.finfo(torch.float32).eps * (x.abs().double() @ values.abs().double().T)
        assert bool(((product(x).double() - exact).abs() <= allowed).all())


@pytest.mark.parametrize("name", PACKED)
def test_a_weight_counts_the_bytes_of_its_blocks(name: str) -> None:
    kind = TYPES_BY_NAME[name]
    held = blocks(name, 5, 512)
    assert held.shape == (5, 512)
    assert 8 * held.nbytes == 5 * 512 * kind.bits
    assert held.scheme == f"W{name.removeprefix('I')[1]}"
