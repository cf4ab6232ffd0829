"""fp8 holds 8-bit floats with a scale a row; activations get 8 bits where a GPU multiplies them."""

import pytest
import torch

from quantbench.decoding import Phase, Request
from quantbench.engine.parameters import Matrix
from quantbench.engine.plain.float8 import Float8Linear, float8_reference, multiplies
from quantbench.measure import audit, measure_size
from quantbench.methods import METHODS, LoadSettings
from quantbench.settings import Engine
from quantbench.weights.quantizers.float8 import LARGEST, quantize_float8, rounded
from tests.model_folders import tiny_source

ENGINES = [Engine.NATIVE, Engine.TRANSFORMERS]


def values(rows: int, columns: int) -> torch.Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(0)) * 0.02


def test_each_row_uses_the_whole_range() -> None:
    weight = quantize_float8("w", values(8, 64), dynamic=True)
    assert (weight.values.float().abs().amax(dim=1) == LARGEST).all()


def test_errors_are_those_of_three_bits_of_mantissa() -> None:
    x = values(8, 64)
    error = (quantize_float8("w", x, dynamic=False).dequantize() - x).abs()
    tiniest = x.abs().amax(dim=1, keepdim=True) / LARGEST * 2**-9
    assert (error <= x.abs() / 16 * 1.001 + tiniest).all()


def test_zeros_stay_zeros() -> None:
    made, scale = rounded(torch.zeros(2, 16))
    assert (made.float() == 0).all() and (scale == 1).all()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", ["fp8", "fp8-a16"])
def test_a_cpu_reads_the_weights_packed_and_the_record_says_so(name: str, engine: Engine) -> None:
    source = tiny_source(hidden_size=64, intermediate_size=128, tie_word_embeddings=False)
    settings = LoadSettings(device="cpu", dtype="float32", engine=engine)
    loaded = METHODS[name].load(source, settings)
    formats = {kind.module: kind.format for kind in audit(loaded.decoder, source) if kind.matrices}
    assert (formats.pop("embedding"), formats.pop("head")) == ("W16", "W16")
    assert set(formats.values()) == {"fp8 e4m3"}
    assert loaded.decoder.activation_bits()[Phase.DECODE] == 32
    told = [
        sentence for sentence in loaded.warnings if sentence.startswith("activations have 32 bits instead")
    ]
    assert len(told) == (1 if name == "fp8" else 0)
    held = measure_size(loaded.decoder, source)
    assert held.quantized_parameters > 0


def test_only_weights_that_ask_for_it_get_8_bit_activations_and_only_on_a_gpu() -> None:
    for dynamic in (True, False):
        assert not multiplies(quantize_float8("w", values(16, 32), dynamic=dynamic))


@pytest.mark.gpu
@pytest.mark.parametrize("rows", [1, 7, 64])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_products_on_a_gpu_are_those_of_plain_torch(rows: int, dtype: torch.dtype) -> None:
    weight = quantize_float8("w", values(96, 64).cuda(), dynamic=True)
    assert multiplies(weight)
    bias = values(1, 96)[0].cuda().to(dtype)
    matrix = Matrix(weight=weight, bias=bias, parts=(("w", 96),))
    x = (torch.randn(rows, 64, generator=torch.Generator().manual_seed(1)) * 3).cuda().to(dtype)
    expected = float8_reference(matrix, x)
    found = Float8Linear(matrix)(x).float()
    assert float((found - expected).abs().max()) < 4 * torch.finfo(dtype).eps * float(expected.abs().max())


@pytest.mark.gpu
@pytest.mark.parametrize("engine", ENGINES)
def test_a_model_on_a_gpu_runs_with_8_bit_activations(engine: Engine) -> None:
    source = tiny_source(hidden_size=64, intermediate_size=128)
    settings = LoadSettings(device="cuda:0", dtype="float16", engine=engine)
    loaded = METHODS["fp8"].load(source, settings)
    assert loaded.decoder.activation_bits()[Phase.DECODE] == 8
    request = Request(prompt_ids=(1, 2, 3), max_new_tokens=4)
    assert len(loaded.decoder.generate([request], batch_size=1)[0].token_ids) == 4
