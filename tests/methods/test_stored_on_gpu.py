"""What every stored format becomes on a GPU is said: packed as kernels read it, or floats and why."""

import pytest
import torch

from quantbench.engine.config import read_config
from quantbench.engine.load import ParameterLoader
from quantbench.methods.stored import Placed
from quantbench.settings import LoadSettings
from quantbench.weights.formats import FloatWeight, Int4Weight, Int8Weight, Weight
from tests.engine.models import reference_model, source_of
from tests.weights.test_ggml_blocks import PACKED, READ, blocks
from tests.weights.test_stored_layouts import load, names, read

LAYOUTS = {name: read(*load(name)[:2]) for name in names()}
BLOCKS = {name: blocks(name, 8, 256) for name in READ}
STORED: dict[str, Weight] = LAYOUTS | BLOCKS
MULTIPLIED = {"ct-w4a16-sym", "gptq-4bit-g128-sym", "gptq-8bit-g128-sym", *PACKED}  # packed, some of them


class Reader:
    """A WeightReader of one weight."""

    def __init__(self, weight: Weight) -> None:
        self._weight = weight

    def __call__(self, name: str, shape: tuple[int, int], /) -> Weight:
        return self._weight

    def stored(self, name: str) -> tuple[str, ...]:
        return (name,)


def placed(weight: Weight) -> tuple[Weight, tuple[str, ...]]:
    """As on a GPU, where this machine has none, and what is said of it."""
    reader = Placed(Reader(weight), LoadSettings(device="cuda:0", dtype="float16"))
    reader.device = "cpu"
    return reader("model.layers.0.self_attn.q_proj.weight", weight.shape), reader.warnings()


@pytest.mark.parametrize("name", STORED)
def test_a_format_is_multiplied_packed_or_said_to_be_held_as_floats(name: str) -> None:
    weight, (found, said) = STORED[name], placed(STORED[name])
    if isinstance(found, FloatWeight):
        assert found.format == f"W16, stored as {weight.format}"
        assert said == (
            "1 matrices are held as 16-bit floats on this device, because no GPU kernel here multiplies them "
            f"as stored: 1 of {weight.format}",
        )
        assert torch.equal(found.values, weight.dequantize().half())
    else:
        assert found is weight and said == ()
        laid_out = found.gpu_layout()
        assert laid_out.gpu_operand() is not None
        assert torch.equal(laid_out.dequantize(), weight.dequantize())


def test_the_formats_that_gpu_kernels_multiply_are_those_that_methods_md_names() -> None:
    packed = {name for name, weight in STORED.items() if not isinstance(placed(weight)[0], FloatWeight)}
    assert packed >= MULTIPLIED


class Cuda(str):
    """A place on the CPU that says that it is a GPU."""

    type = "cuda"


def test_parts_that_no_kernel_takes_together_become_floats_and_are_said() -> None:
    source = source_of(reference_model("qwen2"))

    def reader(name: str, shape: tuple[int, int]) -> Weight:
        if name.endswith("q_proj.weight"):
            return Int4Weight(
                torch.zeros(shape[0], shape[1] // 2, dtype=torch.uint8),
                *(torch.ones(shape[0], shape[1] // 32).half() for _ in range(2)),
            )
        return Int8Weight(torch.ones(shape, dtype=torch.int8), torch.ones(shape[0]))

    reader.stored = lambda name: (name,)  # type: ignore[attr-defined]
    config = read_config(source.config)
    loader = ParameterLoader(source, config, reader, torch.device("cpu"), torch.float16)  # type: ignore[arg-type]
    loader._device = Cuda("cpu")  # type: ignore[assignment]
    parameters = loader.load()
    assert {matrix.format for matrix in parameters.layers[0].qkv.held(("a", "b"))} == {"W16, stored as W4+W8"}
    assert loader.warnings() == (
        f"{config.layers} products are made with 16-bit floats on this device, because no GPU kernel here "
        "takes the formats together in which parts of their matrices are stored: "
        f"{config.layers} of W4+W8",
    )
