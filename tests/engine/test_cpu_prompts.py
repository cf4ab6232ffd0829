"""Prompts on the CPU: integer products within the bound of their steps, attention against plain torch."""

import ctypes
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from quantbench.engine.cpu import build
from quantbench.engine.cpu.linear import CpuLinear, declare
from quantbench.engine.cpu.workspace import Workspace
from quantbench.engine.decoder import NativeDecoder
from quantbench.engine.kv_cache import KeyValueCache
from quantbench.engine.operations import HeadNorms, Rotation
from quantbench.engine.parameters import Matrix
from quantbench.engine.passes import prompt_pass
from quantbench.engine.plain.operations import PlainOperations
from quantbench.weights.formats import Int4DoubleWeight, Int4Weight, Weight
from quantbench.weights.quantizers.int8 import quantize_int8
from tests.engine.models import native, prompts, ran, reference_model
from tests.engine.test_cpu_kernels import Given, config, linear, operations, weight

LIBRARY = build.load_kernels().kernels
pytestmark = pytest.mark.skipif(LIBRARY is None, reason=f"no CPU kernels: {build.load_kernels().reason}")
SINGLE = torch.finfo(torch.float32).eps
KINDS = (
    "float16",
    "int8",
    "int4-32",
    "int4-64",
    "int4-96",
    "int4-128",
    "int4-192",
    "int4-384",
    "double-32",
    "double-64",
)
SHAPES = ((1, 384), (7, 384), (37, 1152), (66, 768))
ROWS = (1, 2, 3, 4, 5, 8, 12, 13, 21, 70)


def fast(kind: int) -> bool:
    """Whether this machine multiplies prompts in integers."""
    assert LIBRARY is not None
    declare(LIBRARY)
    return bool(LIBRARY.quantbench_prompt_bits(kind))


NEEDS_INTEGERS = pytest.mark.skipif(
    LIBRARY is not None and not fast(3), reason="this CPU has neither AVX-512 VNNI nor Arm's dot product"
)


def tops(values: Tensor, span: int) -> Tensor:
    """The largest magnitude of each value's group of `span` inputs, in the values' shape."""
    padded = torch.nn.functional.pad(values.abs(), (0, -values.shape[1] % span))
    groups = padded.view(len(values), -1, span).amax(-1).repeat_interleave(span, dim=1)
    return groups[:, : values.shape[1]]


def bound(x: Tensor, held: Weight, kind: str) -> Tensor:
    """Half a step of every code times what it is multiplied with, summed over the inputs."""
    x, w = x.double(), held.dequantize().double()
    if kind == "float16":
        x_step, w_step = tops(x, 128) / 4095 / 2, tops(w, 128) / 4095 / 2
        return x_step @ w.abs().T + x.abs() @ w_step.T + x_step @ w_step.T
    if isinstance(held, Int4Weight):  # the zero's part is multiplied without codes
        w = w - held.zero.double().repeat_interleave(held.group_size, dim=1)
        span = next(s for s in (held.group_size, 128, 64, 32) if s <= 128 and held.group_size % s == 0)
    elif isinstance(held, Int4DoubleWeight):
        zero = (held.affine[..., 1].double() - 128) * 16 * held.scale.double()[:, None]
        w = w - zero.repeat_interleave(held.group_size, dim=1)
        span = held.group_size
    else:
        span = 64
    return (tops(x, span) / 127 / 2) @ w.abs().T


@NEEDS_INTEGERS
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_prompts_products_err_by_at_most_half_a_step_of_each_code(kind: str, shape: tuple[int, int]) -> None:
    if kind.startswith("int4") and shape[1] % int(kind.removeprefix("int4-")):
        pytest.skip("the groups do not divide the inputs")
    held = weight(kind, *shape)
    generator = torch.Generator().manual_seed(3)
    bias = torch.randn(shape[0], generator=generator)
    for rows in ROWS:
        x = torch.randn(rows, shape[1], generator=generator)
        x[:, 5] *= 100  # an outlier, as models have them
        residual = torch.randn(rows, shape[0], generator=generator)
        exact = x.double() @ held.dequantize().double().T + bias.double() + residual.double()
        size = x.double().abs() @ held.dequantize().double().abs().T + bias.abs() + residual.abs()
        found = linear(held, bias)(x, residual, prompt=True)
        rounding = 4 * math.sqrt(shape[1]) * SINGLE * size
        assert ((found - exact).abs() <= bound(x, held, kind) * 1.0001 + rounding).all()


@pytest.mark.parametrize("width", [16, 48, 80, 144])
@pytest.mark.parametrize("kind", ["float16", "int8"])
def test_widths_that_end_within_a_group_are_multiplied_whole(kind: str, width: int) -> None:
    held = weight(kind, 35, width)
    x = torch.randn(6, width)
    exact = x.double() @ held.dequantize().double().T
    rounding = 1e-5 * (x.double().abs() @ held.dequantize().double().abs().T)
    found = linear(held)(x, prompt=True)
    assert ((found - exact).abs() <= bound(x, held, kind) * 1.0001 + rounding).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_prompts_token_is_the_same_bit_for_bit_among_any_others(kind: str) -> None:
    product = linear(weight(kind, 37, 1152), torch.randn(37))
    x = torch.randn(60, 1152)
    together = product(x, prompt=True)
    for rows in (1, 2, 4, 5, 8, 11, 12, 13, 36, 59):
        assert torch.equal(product(x[-rows:], prompt=True), together[-rows:])


@NEEDS_INTEGERS
@pytest.mark.parametrize("activation", ["silu", "gelu", "gelu_pytorch_tanh", "relu"])
@pytest.mark.parametrize(("kind", "outputs"), [("float16", 96), ("int8", 160), ("int4-64", 32)])
def test_a_prompts_gates_are_joined_to_their_ups_as_if_stored_between(
    kind: str, outputs: int, activation: str
) -> None:
    gated = operations(config(hidden_act=activation)).gated
    product, x = linear(weight(kind, outputs, 384), torch.randn(outputs)), torch.randn(29, 384)
    joined = gated(product, x, prompt=True)
    assert torch.equal(joined, gated(Given(product(x, prompt=True)), x, prompt=False))
    assert torch.equal(joined[4:9], gated(product, x[4:9], prompt=True))


@NEEDS_INTEGERS
@pytest.mark.parametrize("kind", ["float16", "int8", "int4-128"])
def test_what_is_not_finite_stays_so_and_in_its_row(kind: str) -> None:
    x = torch.randn(3, 256)
    x[0, 100], x[1, 7] = math.nan, math.inf
    found = linear(weight(kind, 20, 256))(x, prompt=True)
    assert not found[:2].isfinite().any()
    assert found[2].isfinite().all()


def test_a_prompt_of_zeros_is_its_bias() -> None:
    bias = torch.randn(20)
    found = linear(weight("int8", 20, 128), bias)(torch.zeros(2, 128), prompt=True)
    assert torch.equal(found, bias.expand(2, 20))


@NEEDS_INTEGERS
def test_the_kernels_name_says_how_many_bits_prompts_have() -> None:
    assert "8-bit activations" in linear(weight("int8", 4, 128)).prompt_kernel
    assert "8-bit activations" in linear(weight("int4-128", 4, 128)).prompt_kernel
    halves = "13-bit" if fast(2) else "as linear"  # which Arm has no instruction for
    assert halves in linear(weight("float16", 4, 128)).prompt_kernel
    assert linear(weight("float32", 4, 128)).prompt_kernel == "as linear"


@NEEDS_INTEGERS
def test_a_decoder_says_so_of_its_prompts_and_not_of_its_head() -> None:
    decoder = native(reference_model("qwen2-tied", head_dim=32), quantize_int8)
    assert "8-bit activations" in ran(decoder, "prompt linear").name
    assert "prompts" not in ran(decoder, "linear").name + ran(decoder, "head").name


@pytest.mark.long
def test_without_vnni_prompts_are_multiplied_like_everything_else(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    compiler = build.find_compiler()
    assert compiler is not None
    monkeypatch.setattr(build, "FLAGS", (*build.FLAGS, "-DQUANTBENCH_PORTABLE", "-O1"))
    library = build.build(compiler, tmp_path).kernels
    assert isinstance(library, ctypes.CDLL)
    declare(library)
    for kind in ("float16", "int8", "int4-128"):
        held = weight(kind, 20, 256)
        product = CpuLinear(library, Matrix(weight=held, bias=None, parts=(("w", 20),)))
        x = torch.randn(30, 256)
        assert torch.equal(product(x, prompt=True), product(x))
        assert product.prompt_kernel == "as linear"


LENGTHS = (1, 5, 6, 64, 71, 130)


@pytest.mark.parametrize("window", [None, 7, 70])
@pytest.mark.parametrize("head_dim", [16, 64, 80])
@pytest.mark.parametrize("normed", [False, True])
def test_prompts_attention_and_cache_equal_those_of_torch(
    window: int | None, head_dim: int, normed: bool
) -> None:
    sliding = {"use_sliding_window": True, "sliding_window": window, "max_window_layers": 0}
    shape = config(head_dim=head_dim, **(sliding if window else {}))
    assert shape.windows[0] == window
    cpu, single = torch.device("cpu"), torch.float32
    rotation = Rotation(shape, cpu, single)
    rotation.reserve(130)
    norms = HeadNorms(*(torch.randn(head_dim) if normed else None for _ in range(2)))
    projections = torch.randn(sum(LENGTHS), shape.q_size + 2 * shape.kv_size)
    results = []
    for run in (operations(shape), PlainOperations(shape)):
        kv = KeyValueCache(shape, rows=6, capacity=140, device=cpu, dtype=single)
        attention = run.prompt_attention(kv, rotation, LENGTHS, (3, 0, 1, 5, 2, 4))
        results.append((attention(0, projections.clone(), norms), kv.keys[0].held, kv.values[0].held))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_a_prompts_states_do_not_depend_on_the_prompts_beside_it() -> None:
    model = reference_model("qwen3", head_dim=32, hidden_size=64, intermediate_size=96)
    decoder = native(model, quantize_int8)
    assert isinstance(decoder, NativeDecoder)
    texts = prompts((9, 40, 1, 17))

    def states(some: list[tuple[int, ...]]) -> Tensor:
        cpu = torch.device("cpu")
        kv = KeyValueCache(decoder.config, rows=4, capacity=50, device=cpu, dtype=torch.float32)
        with torch.inference_mode():
            return prompt_pass(decoder._model, some, kv, range(len(some)), ends_only=True)

    together = states(texts)
    alone = torch.cat([states([text]) for text in texts])
    assert torch.equal(together, alone)


def test_a_prompt_pass_takes_a_buffer_again_and_other_passes_do_not() -> None:
    workspace = Workspace()
    workspace.open()
    first = workspace.take("sum", 2, 3)
    assert workspace.take("sum", 2, 3).data_ptr() == first.data_ptr()
    assert workspace.take("sum", 1, 3).data_ptr() == first.data_ptr()
    assert workspace.take("product", 2, 3).data_ptr() != first.data_ptr()
    workspace.close()
    assert workspace.take("sum", 2, 3).data_ptr() != first.data_ptr()


def test_the_cached_files_name_holds_every_source() -> None:
    folder = build.SOURCE.parent
    assert sorted(build.SOURCES) == sorted(path.name for path in folder.glob("*.[ch]pp"))
