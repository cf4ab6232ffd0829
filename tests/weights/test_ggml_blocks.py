"""Blocks of GGUF types stand for the values that ggml gives them, in torch and in the CPU kernels."""

import ctypes
import math
import platform

import pytest
import torch
from torch import Tensor

from quantbench.engine.cpu import build
from quantbench.engine.cpu.build import load_kernels
from quantbench.engine.cpu.linear import CpuLinear, declare
from quantbench.engine.load import load_decoder
from quantbench.engine.parameters import Matrix
from quantbench.sources.ggml_types import FLOATS, TYPES_BY_NAME
from quantbench.weights.formats import BlockWeight
from quantbench.weights.formats.blocks import CPU_KINDS
from tests.engine.models import ran, read, reference_model, source_of

WIDE = {"hidden_size": 64, "intermediate_size": 64, "head_dim": 32}
SINGLE = torch.finfo(torch.float32).eps
READ = [name for name in TYPES_BY_NAME if name not in FLOATS]
PACKED = [name for name in READ if name in CPU_KINDS]  # those that kernels multiply, a GPU's too
HALVES = {"Q4_1": 2, "Q5_1": 2, "Q4_K": 2, "Q5_K": 2}  # float16 at the start of a block; Q6_K's is at its end


def blocks(name: str, rows: int, inputs: int, seed: int = 0) -> BlockWeight:
    """Random codes and scales, every bit of a code used."""
    kind = TYPES_BY_NAME[name]
    generator = torch.Generator().manual_seed(seed)
    count = inputs // kind.values
    data = torch.randint(0, 256, (rows, count, kind.nbytes), dtype=torch.uint8, generator=generator)
    scales = (torch.rand(rows, count, 2, generator=generator) + 0.1).half().view(torch.uint8)
    if name == "MXFP4":  # all exponents that float32 has
        data[..., 0] = torch.arange(count, dtype=torch.uint8) * 5 % 255
    elif name == "Q6_K":
        data[..., 208:] = scales[..., :2]
    else:
        size = 2 * HALVES.get(name, 1)
        data[..., :size] = scales[..., :size]
    return BlockWeight(data.reshape(rows, -1), name)


@pytest.mark.parametrize("name", READ)
def test_values_are_those_of_gguf_py_bit_for_bit(name: str) -> None:
    gguf = pytest.importorskip("gguf")
    held = blocks(name, 64, 512)
    reference = gguf.dequantize(held.data.numpy(), gguf.GGMLQuantizationType[name])
    assert torch.equal(held.dequantize(), torch.from_numpy(reference))


def product_of(held: BlockWeight, *, exact: bool = True, library: ctypes.CDLL | None = None) -> CpuLinear:
    library = library or load_kernels().kernels
    if library is None:
        pytest.skip(f"no CPU kernels: {load_kernels().reason}")
    declare(library)
    matrix = Matrix(weight=held, bias=None, parts=(("w", held.shape[0]),))
    return CpuLinear(library, matrix, exact=exact)


def activations(rows: int, inputs: int) -> Tensor:
    """Runs of unlike sizes: each has a scale of its own."""
    generator = torch.Generator().manual_seed(rows)
    sizes = torch.rand(rows, inputs // 32, 1, generator=generator) * 4
    return (torch.randn(rows, inputs // 32, 32, generator=generator) * sizes.exp()).reshape(rows, inputs)


def rounding(x: Tensor, values: Tensor) -> Tensor:
    """Six standard deviations of products [rows, out], where x has 16 bits with a scale per 32 inputs."""
    steps = x.double().reshape(len(x), -1, 32).abs().amax(dim=2) / 32767
    squares = values.square().reshape(len(values), -1, 32).sum(dim=2)
    return 6 * (steps.square() @ squares.T / 12).sqrt()


def poison(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a kernel leaves unwritten is not a number."""
    monkeypatch.setattr("quantbench.engine.cpu.linear.torch.empty", lambda *size: torch.full(size, torch.nan))


@pytest.mark.parametrize("inputs", [576, 896, 4864])
@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("name", PACKED)
def test_the_kernel_multiplies_with_these_values(
    name: str, exact: bool, inputs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs -= inputs % TYPES_BY_NAME[name].values
    held = blocks(name, 37, inputs)
    product, values = product_of(held, exact=exact), held.dequantize().double()
    poison(monkeypatch)
    for rows in (1, 2, 3, 4, 5, 40):
        x = activations(rows, inputs)
        expected = x.double() @ values.T
        allowed = 2 * math.sqrt(inputs) * SINGLE * (x.abs().double() @ values.abs().T)
        allowed += rounding(x, values) if product.bits else 0
        assert bool(((product(x).double() - expected).abs() <= allowed).all())


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("name", PACKED)
def test_a_rows_product_is_the_same_bit_for_bit_in_any_batch(name: str, exact: bool) -> None:
    product = product_of(blocks(name, 37, 512), exact=exact)
    x = activations(40, 512)
    together = product(x)
    for rows in (1, 2, 3, 4, 5, 39):
        assert torch.equal(product(x[:rows]), together[:rows])


@pytest.mark.parametrize("name", PACKED)
def test_each_input_meets_its_own_weight(name: str) -> None:
    held = blocks(name, 9, 512)
    eye, values = torch.eye(512), held.dequantize().T
    for rows in (slice(0, 512), slice(0, 1), slice(17, 18), slice(200, 203), slice(511, 512)):
        assert torch.equal(product_of(held)(eye[rows]), values[rows])
        found = product_of(held, exact=False)(eye[rows])
        torch.testing.assert_close(found, values[rows], rtol=2**-20, atol=float(values.abs().max()) * 2**-20)


@pytest.mark.parametrize("name", PACKED)
def test_integers_keep_zeros_and_what_is_not_finite(name: str) -> None:
    product = product_of(blocks(name, 8, 256), exact=False)
    x = torch.zeros(3, 256)
    assert not product(x).any()
    x[1, 200], x[2, 7] = torch.nan, torch.inf
    found = product(x)
    assert not found[0].any()
    assert not found[1:].isfinite().any()


@pytest.mark.long
@pytest.mark.skipif(platform.machine() != "x86_64", reason="compiles for the oldest x86-64")
@pytest.mark.parametrize("name", PACKED)
def test_kernels_without_vector_instructions_multiply_with_the_same_values(
    name: str, plain_kernels: ctypes.CDLL
) -> None:
    held = blocks(name, 9, 512)
    product = product_of(held, exact=False, library=plain_kernels)
    assert product.bits == 0
    for rows in (slice(0, 512), slice(17, 18), slice(509, 511)):
        assert torch.equal(product(torch.eye(512)[rows]), held.dequantize().T[rows])


@pytest.fixture(scope="module")
def plain_kernels(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    compiler = build.find_compiler()
    assert compiler is not None
    path = tmp_path_factory.mktemp("plain") / "kernels.so"
    flags = [flag for flag in build.FLAGS if "native" not in flag]
    build.compile_to(path, compiler, [*flags, "-march=x86-64", "-O1"], [])
    return ctypes.CDLL(str(path))


def test_a_decoder_says_how_many_bits_its_activations_have() -> None:
    def quantize(name: str, values: Tensor) -> BlockWeight:
        return blocks("Q8_0", *values.shape)

    source = read(source_of(reference_model("qwen2-tied", **WIDE)), quantize)
    bits = product_of(blocks("Q8_0", 8, 64), exact=False).bits or 32
    for exact, expected in ((False, bits), (True, 32)):
        decoder = load_decoder(*source, device="cpu", dtype="float32", exact_prompts=exact)
        assert set(decoder.activation_bits().values()) == {expected}
        assert ("16-bit activations" in ran(decoder, "linear").name) == (expected == 16)


@pytest.mark.parametrize("name", READ)
def test_a_weight_counts_the_bytes_of_its_blocks(name: str) -> None:
    kind = TYPES_BY_NAME[name]
    held = blocks(name, 5, 512)
    assert held.shape == (5, 512)
    assert 8 * held.nbytes == 5 * 512 * kind.bits
    assert held.scheme == f"W{next(filter(str.isdigit, name))}"


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
