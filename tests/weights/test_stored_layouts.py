"""Every layout that other libraries write is read as those libraries read it.

stored_layouts.safetensors holds, for 27 tiny checkpoints, eight rows [8, 256] of one projection as its
library stored them (gptqmodel 7.7, auto-round 0.16.1, llmcompressor 0.14, bitsandbytes 0.50.2, torchao
0.18, hqq 0.2.8, transformers 5.23), and what that library made of them, in its own 16-bit type.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from quantbench.engine.cpu.build import load_kernels
from quantbench.engine.cpu.linear import CpuLinear, declare
from quantbench.engine.parameters import Matrix
from quantbench.errors import ModelError
from quantbench.weights.formats import PermutedWeight, Weight
from quantbench.weights.readers.stored import CheckpointReader, stored_reader, unread_checkpoint

FILE = Path(__file__).with_name("stored_layouts.safetensors")
MODULE, SHAPE = "model.layers.0.self_attn.q_proj", (8, 256)
BFLOAT16 = ("fp8-finegrained", "ct-nvfp4a16")  # their libraries dequantize to it
TWICE_ROUNDED = ("hqq-4bit-g64",)  # code less zero point is rounded too, there
LAST_BIT = ("bnb-int8",)  # q * SCB / 127 there, q * (SCB / 127) here


def names() -> list[str]:
    with safe_open(FILE, "pt") as file:
        return list(json.loads(file.metadata()["settings"]))


def load(name: str) -> tuple[dict[str, Any], dict[str, Tensor], Tensor]:
    """quantization_config, the module's tensors by the ends of their names, and the library's values."""
    with safe_open(FILE, "pt") as file:
        settings = json.loads(file.metadata()["settings"])[name]
        tensors = {
            key.partition("/")[2]: file.get_tensor(key)
            for key in list(file.keys())
            if key.startswith(f"{name}/")
        }
    return settings, tensors, tensors.pop("expected")


class Source:
    """A ModelSource of one module."""

    name = "m"

    def __init__(self, settings: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        self.config = {"quantization_config": settings}
        self._tensors = {f"{MODULE}.{suffix}": tensor for suffix, tensor in tensors.items()}

    def names(self) -> list[str]:
        return list(self._tensors)

    def tensor(self, name: str) -> Tensor:
        return self._tensors[name]


def read(settings: dict[str, Any], tensors: dict[str, Tensor]) -> Weight:
    return stored_reader(Source(settings, tensors))(f"{MODULE}.weight", SHAPE)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", names())
def test_values_are_those_of_the_library_that_wrote_them(name: str) -> None:
    settings, tensors, expected = load(name)
    values = read(settings, tensors).dequantize()
    kind = torch.bfloat16 if name in BFLOAT16 else torch.float16
    if name in TWICE_ROUNDED:
        assert float((values.half().float() - expected.float()).abs().max()) <= 2**-11
    elif name in LAST_BIT:
        torch.testing.assert_close(values, expected, rtol=2**-23, atol=0)
    else:
        assert torch.equal(values.to(kind).float(), expected.float())


@pytest.mark.parametrize("name", names())
def test_kernels_multiply_with_the_values_that_dequantizing_gives(name: str) -> None:
    built = load_kernels()
    if built.kernels is None:
        pytest.skip(f"no CPU kernels: {built.reason}")
    declare(built.kernels)
    held = read(*load(name)[:2])
    held = held.inner if isinstance(held, PermutedWeight) else held
    if held.cpu_operand() is None:
        assert name == "ct-nvfp4a16"  # groups of 16
        return
    product = CpuLinear(built.kernels, Matrix(weight=held, bias=None, parts=((MODULE, 8),)))
    x = torch.eye(256)
    for rows in (slice(0, 1), slice(5, 8), slice(30, 256)):
        assert torch.equal(product(x[rows]), held.dequantize().T[rows])
    mixed = torch.randn(9, 256, generator=torch.Generator().manual_seed(0))
    for count in (1, 3, 5):  # a row is the same in any batch
        assert torch.equal(product(mixed[:count].contiguous()), product(mixed)[:count])


@pytest.mark.parametrize("name", names())
def test_some_rows_are_those_of_all_rows(name: str) -> None:
    held = read(*load(name)[:2])
    rows = torch.tensor([6, 0, 6])
    assert torch.equal(held.dequantize(rows), held.dequantize()[rows])


@pytest.mark.parametrize("name", names())
def test_a_module_without_one_of_its_tensors_is_said(name: str) -> None:
    settings, tensors, _ = load(name)
    complete = read(settings, tensors).dequantize()
    for left_out in tensors:
        rest = {suffix: tensor for suffix, tensor in tensors.items() if suffix != left_out}
        try:
            same = torch.equal(read(settings, rest).dequantize(), complete)
        except ModelError:
            continue
        assert same, left_out  # what is not needed changes nothing


def damaged(tensor: Tensor) -> Iterator[Tensor]:
    yield tensor.reshape(-1)[: tensor.numel() // 2]
    yield tensor[:1] if tensor.dim() else tensor
    yield torch.zeros(3, 5, 7)


@pytest.mark.parametrize("name", names())
def test_no_damaged_tensor_ends_in_another_error(name: str) -> None:
    settings, tensors, _ = load(name)
    for suffix, tensor in tensors.items():
        for other in damaged(tensor):
            try:
                assert read(settings, tensors | {suffix: other}).shape == SHAPE
            except ModelError as error:
                assert "\n" not in str(error)


def test_version_two_stores_zero_points_as_they_are() -> None:
    settings, tensors, expected = load("gptq-4bit-g128-asym")
    other = read(settings | {"checkpoint_format": "gptq_v2"}, tensors).dequantize()
    assert not torch.equal(other.half(), expected)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"quant_method": ["gptq"]}, "which is not among gptq, awq"),
        ({"quant_method": "quip"}, "quantized by 'quip', which is not among gptq, awq"),
        ({"quant_method": "compressed-tensors", "sparsity_config": {"format": "24"}}, "stored sparse"),
        ({"quant_method": "compressed-tensors", "transform_config": {"a": {}}}, "transform_config"),
    ],
)
def test_what_is_not_read_is_said(settings: dict[str, Any], reason: str) -> None:
    assert reason in (unread_checkpoint({"quantization_config": settings}) or "")


def test_biases_of_zeros_count_as_part_of_a_packed_module() -> None:
    settings, tensors, _ = load("gptq-4bit-g128-sym")
    reader = CheckpointReader(Source(settings, tensors | {"bias": torch.zeros(8)}))  # type: ignore[arg-type]
    assert f"{MODULE}.bias" in reader.stored(f"{MODULE}.weight")
    reader = CheckpointReader(Source(settings, tensors | {"bias": torch.ones(8)}))  # type: ignore[arg-type]
    assert f"{MODULE}.bias" not in reader.stored(f"{MODULE}.weight")
