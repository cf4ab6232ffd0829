"""Smoothed keys: the same logits where nothing is rounded, less error where keys are, and no cap ignored."""

from typing import Any

import pytest
import torch
from torch import Tensor

from quantbench.engine.decoder import NativeDecoder
from quantbench.engine.key_smoothing import with_smoothing
from quantbench.engine.model import Model
from quantbench.engine.parameters import Parameters
from quantbench.engine.passes import prompt_pass
from quantbench.engine.plain.operations import PlainOperations
from quantbench.settings import KvFormat
from quantbench.weights.quantizers.int8 import quantize_int8
from tests.engine.models import native, prompts, ran, reference_model

FORMATS = list(KvFormat)
BIASED = ["qwen2", "qwen2-window", "qwen2-yarn", "llama-biases", "smollm3-interval", "gpt-neox"]
OTHERS = ["llama", "gemma2", "qwen3", "qwen3-bias", "olmo2-biases", "mistral"]
LARGE = 40.0  # beside keys of about one


def model_of(variant: str) -> Any:
    """A random model with large biases, as Qwen2 has them, in each key head's slowest pair."""
    model = reference_model(variant, num_hidden_layers=2)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("k_proj.bias"):
                half = model.config.hidden_size // model.config.num_attention_heads // 2
                parameter.view(-1, half)[:, -1] += LARGE
    return model


def parameters_of(variant: str) -> Parameters:
    decoder = native(model_of(variant), dtype="float64")
    assert isinstance(decoder, NativeDecoder)
    return decoder._parameters


def logits_of(parameters: Parameters, text: tuple[int, ...], dtype: torch.dtype = torch.float64) -> Tensor:
    """Of all positions, in plain torch; keys are held as they are."""
    operations = PlainOperations(parameters.config)
    model = Model(parameters, operations, device=torch.device("cpu"), dtype=dtype)
    with torch.inference_mode():
        return model.logits(prompt_pass(model, [text], model.cache(1, len(text)), [0], exact=True))


@pytest.mark.parametrize("kv", FORMATS)
@pytest.mark.parametrize("variant", BIASED)
def test_smoothing_changes_no_logit_where_nothing_is_rounded(variant: str, kv: KvFormat) -> None:
    plain, (text,) = parameters_of(variant), prompts((60,))
    smoothed = with_smoothing(plain, kv)
    assert all(layer.smoothing is not None for layer in smoothed.layers)
    torch.testing.assert_close(logits_of(smoothed, text), logits_of(plain, text), rtol=0, atol=1e-5)


@pytest.mark.parametrize("kv", FORMATS)
@pytest.mark.parametrize("variant", OTHERS)
def test_keys_stay_where_a_cap_or_a_norm_or_no_bias_leaves_nothing_to_take_off(
    variant: str, kv: KvFormat
) -> None:
    decoder = native(model_of(variant), kv=kv)
    assert isinstance(decoder, NativeDecoder)
    assert all(layer.smoothing is None for layer in decoder._parameters.layers)
    assert "smoothed" not in ran(decoder, "KV cache").name


def test_keys_stay_without_codes() -> None:
    smoothed = with_smoothing(parameters_of("qwen2"), KvFormat.INT8)
    assert all(layer.smoothing is None for layer in with_smoothing(smoothed, None).layers)


def error_of(decoder: NativeDecoder, parameters: Parameters, text: tuple[int, ...]) -> float:
    """Of a decoder's logits, against what float64 gives."""
    (found,) = decoder.score([text], [30])
    wanted = logits_of(parameters, text)
    return float((found - wanted).norm() / wanted.norm())


@pytest.mark.parametrize("kv", FORMATS)
def test_codes_lose_less_of_keys_with_large_biases(kv: KvFormat, monkeypatch: pytest.MonkeyPatch) -> None:
    model, (text,) = model_of("qwen2"), prompts((60,))
    exact = parameters_of("qwen2")
    smoothed = native(model, kv=kv)
    monkeypatch.setattr("quantbench.engine.key_smoothing.is_smoothed", lambda parameters: False)
    plain = native(model, kv=kv)
    assert isinstance(smoothed, NativeDecoder)
    assert isinstance(plain, NativeDecoder)
    assert "smoothed" in ran(smoothed, "KV cache").name
    assert "smoothed" not in ran(plain, "KV cache").name
    assert error_of(smoothed, exact, text) < error_of(plain, exact, text) / 3


@pytest.mark.parametrize("variant", BIASED)
def test_what_is_read_of_packed_weights_smooths_as_floats_do(variant: str) -> None:
    packed = native(model_of(variant), quantize_int8, kv=KvFormat.INT8)
    floats = native(model_of(variant), kv=KvFormat.INT8)
    assert isinstance(packed, NativeDecoder)
    assert isinstance(floats, NativeDecoder)
    for one, other in zip(packed._parameters.layers, floats._parameters.layers, strict=True):
        assert one.smoothing is not None
        assert other.smoothing is not None
        offsets, factors = one.smoothing
        torch.testing.assert_close(offsets, other.smoothing[0], rtol=0.05, atol=0.05)
        powers = factors.log2().round()
        assert powers.abs().max() <= 4
        assert torch.equal(factors, powers.exp2())
        queries, keys = factors.split([packed.config.heads, packed.config.kv_heads])
        assert torch.equal(queries, 1 / keys.repeat_interleave(packed.config.groups, dim=0))
        assert (offsets[: packed.config.heads] == 0).all()
