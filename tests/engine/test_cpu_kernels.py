"""The compiled CPU kernels against plain torch in float64, and what happens without a compiler."""

import math
from pathlib import Path

import psutil
import pytest
import torch
from torch import Tensor

from quantbench.decoding import Request
from quantbench.engine.config import ModelConfig, read_config
from quantbench.engine.cpu import build
from quantbench.engine.cpu.linear import CpuLinear
from quantbench.engine.cpu.operations import CpuOperations, cpu_operations
from quantbench.engine.kv_cache import KeyValueCache
from quantbench.engine.operations import HeadNorms, Rotation
from quantbench.engine.parameters import Matrix, Norm
from quantbench.engine.plain.linear import PlainLinear
from quantbench.engine.plain.operations import PlainOperations
from quantbench.weights.formats import FloatWeight, Int4Weight, Int8Weight, Weight
from quantbench.weights.quantizers.int4_double import quantize_int4_double
from quantbench.weights.quantizers.int8 import quantize_int8_groups
from tests.engine.models import SHAPE, native, prompts, ran, reference_model

pytestmark = pytest.mark.skipif(
    build.load_kernels().kernels is None, reason=f"no CPU kernels: {build.load_kernels().reason}"
)
SINGLE = torch.finfo(torch.float32).eps


def config(**changes: object) -> ModelConfig:
    return read_config({**SHAPE, "model_type": "qwen2", "head_dim": 16, **changes})


def operations(shape: ModelConfig) -> CpuOperations:
    found, reason = cpu_operations(shape, "cpu", torch.float32)
    assert isinstance(found, CpuOperations), reason
    return found


def int4(values: Tensor, group: int) -> Int4Weight:
    groups = values.view(len(values), -1, group)
    low, high = groups.amin(-1), groups.amax(-1)
    scale = ((high - low) / 15).half()
    zero = (low + 8 * scale.float()).half()
    q = ((groups - zero.float()[..., None]) / scale.float()[..., None]).round().clamp(-8, 7) + 8
    flat = q.reshape(values.shape).to(torch.uint8)
    return Int4Weight(flat[:, ::2] | flat[:, 1::2] << 4, scale, zero)


def weight(kind: str, rows: int, columns: int) -> Weight:
    values = torch.randn(rows, columns, generator=torch.Generator().manual_seed(rows))
    if kind == "int8":
        scale = values.abs().amax(dim=1) / 127
        return Int8Weight((values / scale[:, None]).round().to(torch.int8), scale)
    if kind.startswith("int8-"):
        return quantize_int8_groups("w", values, group_size=int(kind.removeprefix("int8-")))
    if kind.startswith("int4"):
        return int4(values, int(kind.removeprefix("int4-")))
    if kind.startswith("double"):
        return quantize_int4_double("w", values, group_size=int(kind.removeprefix("double-")))
    return FloatWeight(values.to(getattr(torch, kind)))


def linear(held: Weight, bias: Tensor | None = None) -> CpuLinear:
    library = build.load_kernels().kernels
    assert library is not None
    return CpuLinear(library, Matrix(weight=held, bias=bias, parts=(("w", held.shape[0]),)))


KINDS = (
    "float32",
    "float16",
    "bfloat16",
    "int8",
    "int8-32",
    "int8-128",
    "int4-32",
    "int4-128",
    "double-32",
    "double-64",
)
SHAPES = ((1, 128), (7, 256), (37, 384), (66, 128))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_products_equal_dequantize_then_multiply_within_accumulation_error(
    kind: str, shape: tuple[int, int]
) -> None:
    operations(config())  # declares the kernels' arguments
    held = weight(kind, *shape)
    generator = torch.Generator().manual_seed(3)
    bias = torch.randn(shape[0], generator=generator)
    for rows in (1, 2, 3, 4, 5, 6, 7, 13, 70):
        x = torch.randn(rows, shape[1], generator=generator)
        residual = torch.randn(rows, shape[0], generator=generator)
        exact = x.double() @ held.dequantize().double().T + bias.double() + residual.double()
        size = x.double().abs() @ held.dequantize().double().abs().T + bias.abs() + residual.abs()
        found = linear(held, bias)(x, residual)
        assert ((found - exact).abs() <= 2 * math.sqrt(shape[1]) * SINGLE * size).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_rows_product_is_the_same_bit_for_bit_in_any_batch(kind: str) -> None:
    operations(config())
    product = linear(weight(kind, 37, 256), torch.randn(37))
    x = torch.randn(40, 256)
    together = product(x)
    for rows in (1, 2, 3, 4, 5, 6, 11, 12, 39):
        assert torch.equal(product(x[:rows]), together[:rows])


def test_half_activations_are_computed_in_float32_and_rounded_once() -> None:
    operations(config())
    held = weight("int8", 24, 128)
    x = torch.randn(5, 128).half()
    exact = linear(held)(x.float())
    assert torch.equal(linear(held)(x), exact.half())


def test_weights_that_the_kernels_cannot_read_are_left_to_torch() -> None:
    assert weight("float16", 4, 24).cpu_operand() is None
    wide = torch.ones(2, 1)
    assert Int4Weight(torch.zeros(2, 8, dtype=torch.uint8), wide, wide).cpu_operand() is None
    assert FloatWeight(torch.zeros(4, 32, dtype=torch.float64)).cpu_operand() is None
    assert FloatWeight(torch.zeros(32, 4).T).cpu_operand() is None
    assert Int8Weight(torch.zeros(2, 32, dtype=torch.int8), torch.ones(2).half()).cpu_operand() is None
    odd = Matrix(weight=weight("float16", 4, 24), bias=None, parts=(("w", 4),))
    assert isinstance(operations(config()).linear(odd), PlainLinear)


def test_norms_equal_those_of_torch() -> None:
    shape = config()
    x, scale = torch.randn(9, 48) * 5, torch.randn(48)
    torch.testing.assert_close(
        operations(shape).norm(x, Norm(scale)),
        PlainOperations(shape).norm(x, Norm(scale)),
        rtol=2e-6,
        atol=2e-6,
    )


class Given(PlainLinear):
    """A product whose result is known."""

    def __init__(self, result: Tensor) -> None:
        self._result = result

    def __call__(self, x: Tensor, residual: Tensor | None = None, *, prompt: bool = False) -> Tensor:
        return self._result


@pytest.mark.parametrize("activation", ["silu", "gelu", "gelu_pytorch_tanh", "relu"])
def test_gates_equal_those_of_torch_far_beyond_the_usual_range(activation: str) -> None:
    shape = config(hidden_act=activation)
    x = torch.cat((torch.linspace(-120, 120, 1600)[None], torch.ones(1, 1600)), dim=1)
    x = torch.cat((x, torch.randn(3, 3200)))
    found = operations(shape).gated(Given(x), x, prompt=False)
    torch.testing.assert_close(found, PlainOperations(shape).gate(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("variant", ["qwen2-tied", "qwen3", "mistral-window", "mistral"])
def test_a_models_answers_are_those_of_plain_torch(variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = reference_model(variant, head_dim=32)
    requests = [Request(prompt_ids=p, max_new_tokens=20) for p in prompts((3, 40, 1, 17))]
    fast = native(model)
    assert "own C++" in ran(fast, "attention").name
    monkeypatch.setattr(
        "quantbench.engine.cpu.operations.load_kernels", lambda: build.Built(None, "no C++ compiler")
    )
    plain = native(model)
    assert ran(plain, "linear").reason == "no C++ compiler"
    assert fast.generate(requests, batch_size=3) == plain.generate(requests, batch_size=3)


def test_decoded_logits_do_not_depend_on_the_batch_bit_for_bit() -> None:
    shape = config(head_dim=64, hidden_size=128)
    run = operations(shape)
    cpu, single = torch.device("cpu"), torch.float32
    rotation = Rotation(shape, cpu, single)
    rotation.reserve(50)
    width = shape.q_size + 2 * shape.kv_size
    projections, positions = torch.randn(5, width), torch.tensor([40, 3, 0, 17, 49])

    def attend(count: int) -> Tensor:
        kv = KeyValueCache(shape, rows=5, capacity=50, device=cpu, dtype=single)
        generator = torch.Generator().manual_seed(1)
        for cells in (*kv.keys, *kv.values):
            cells.held.normal_(generator=generator)
        step = run.token_attention(kv, rotation, positions[:count], 49, False)
        return step(0, projections[:count].clone(), HeadNorms(None, None))

    assert torch.equal(attend(5)[:2], attend(2))


def test_int4_weights_are_unpacked_to_the_bits_of_the_reference() -> None:
    operations(config())
    held = weight("int4-32", 48, 64)
    assert torch.equal(linear(held)(torch.eye(64)).T, held.dequantize())


def test_without_a_compiler_there_is_a_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.delenv(build.SWITCH, raising=False)
    found = build.load_kernels.__wrapped__()
    assert found.kernels is None
    assert "install g++" in str(found.reason)


def test_a_compiler_that_fails_is_a_reason_too(tmp_path: Path) -> None:
    broken = tmp_path / "c++"
    broken.write_text("#!/bin/sh\necho no such instruction >&2\nexit 1\n")
    broken.chmod(0o755)
    found = build.build(str(broken), tmp_path / "cache")
    assert found.kernels is None
    assert "no such instruction" in str(found.reason)
    assert not list((tmp_path / "cache").iterdir())


def test_a_compiler_that_is_too_slow_ends_with_what_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = tmp_path / "started"
    slow = tmp_path / "slow-c++"
    slow.write_text(f"#!/bin/sh\nsleep 60 &\necho $! > {started}\nwait\n")
    slow.chmod(0o755)
    monkeypatch.setattr(build, "COMPILE_LIMIT_S", 1.0)
    found = build.build(str(slow), tmp_path / "cache")
    assert found.kernels is None and "busy" in str(found.reason)
    assert not alive(int(started.read_text()))


def alive(pid: int) -> bool:
    """Whether a process still computes; one that nobody has waited for does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_the_kernels_can_be_turned_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(build.SWITCH, "off")
    assert build.load_kernels.__wrapped__().reason == "QUANTBENCH_CPU_KERNELS=off"


def test_the_cached_files_name_changes_with_flags_and_compiler(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    first.touch()
    second.touch()
    names = {build.digest(str(c), flags) for c in (first, second) for flags in (("-O3",), ("-O2",))}
    assert len(names) == 4
