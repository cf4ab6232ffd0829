"""All layers of a step in one call, embedded rows by the kernels, and weights in large pages."""

import sys

import pytest
import torch
from torch import Tensor

from quantbench.decoding import Request
from quantbench.engine.cpu import build
from quantbench.engine.cpu.pages import PAGE, filled_pages, use_large_pages
from quantbench.engine.decoder import NativeDecoder
from quantbench.weights.formats import FloatWeight, Weight
from quantbench.weights.quantizers.int8 import quantize_int8
from tests.engine.models import native, prompts, reference_model
from tests.engine.test_cpu_kernels import KINDS, config, linear, operations, weight
from tests.weights.test_ggml_blocks import PACKED, blocks, poison

pytestmark = pytest.mark.skipif(
    build.load_kernels().kernels is None, reason=f"no CPU kernels: {build.load_kernels().reason}"
)
WIDE = {"head_dim": 32, "hidden_size": 64, "intermediate_size": 96}


def to_half(name: str, tensor: Tensor) -> Weight:
    return FloatWeight(tensor.half())


def mixed(name: str, tensor: Tensor) -> Weight:
    """Three formats in one matrix of queries, keys and values, two in one of gates and ups."""
    if "v_proj" in name or "gate" in name:
        return quantize_int8(name, tensor)
    return blocks("Q8_0", *tensor.shape) if "k_proj" in name else to_half(name, tensor)


def decoder_of(variant: str, quantize: object = to_half) -> NativeDecoder:
    found = native(reference_model(variant, **WIDE), quantize)  # type: ignore[arg-type]
    assert isinstance(found, NativeDecoder)
    return found


@pytest.mark.parametrize("quantize", [to_half, quantize_int8, mixed])
@pytest.mark.parametrize("variant", ["qwen2-tied", "qwen3-bias", "mistral-window", "llama3-rope"])
def test_layers_in_one_call_give_the_bits_of_layers_one_by_one(variant: str, quantize: object) -> None:
    decoder, texts = decoder_of(variant, quantize), prompts((9, 40, 1, 17))
    requests = [Request(prompt_ids=text, max_new_tokens=12) for text in texts]

    def run() -> tuple[list[object], list[Tensor]]:
        scored = decoder.score(texts, [4, 0, 1, 16])
        return list(decoder.generate(requests, batch_size=3)), list(scored)

    assert decoder._model.stack is not None
    together, logits = run()
    decoder._model.stack = None
    one_by_one, expected = run()
    assert together == one_by_one
    assert all(torch.equal(found, wanted) for found, wanted in zip(logits, expected, strict=True))


@pytest.mark.parametrize("variant", ["gemma2", "olmo2", "granite", "gpt-neox", "mixtral"])
def test_layers_that_are_not_plain_go_one_by_one(variant: str) -> None:
    assert decoder_of(variant)._model.stack is None


def test_layers_with_a_product_in_torch_go_one_by_one() -> None:
    wide = {**WIDE, "intermediate_size": 100}
    assert native(reference_model("qwen2-tied", **wide), to_half)._model.stack is None  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", [*KINDS, *PACKED])
def test_embedded_rows_are_the_formats_own_values_bit_for_bit(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    operations(config())
    held = blocks(kind, 21, 256) if kind in PACKED else weight(kind, 21, 256)
    product, values, ids = linear(held), held.dequantize(), torch.tensor([20, 3, 3, 0])
    poison(monkeypatch)
    for some in (ids, ids[:1], ids[1::2], ids[:0]):
        assert torch.equal(product.rows(some), values[some])


def test_pages_that_weights_fill_are_found_whatever_lies_between_them() -> None:
    near, far = 7 * PAGE, 90 * PAGE
    whole = [(near - PAGE // 2, PAGE // 2), (near, PAGE // 2), (near + PAGE // 2, PAGE)]
    assert filled_pages(whole) == [near]
    assert filled_pages([(far + 1, 3 * PAGE)]) == [far, far + PAGE, far + 2 * PAGE]
    assert filled_pages([(far, PAGE // 2), (far + PAGE - 64, 64)]) == []


def test_weights_keep_their_values_in_large_pages() -> None:
    held = [torch.arange(3 * PAGE // 4, dtype=torch.float32), torch.ones(7)]
    assert use_large_pages(held) in range(0, 3 * PAGE + 1, PAGE)
    assert torch.equal(held[0], torch.arange(len(held[0]), dtype=torch.float32))


def test_elsewhere_than_on_linux_pages_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert use_large_pages([torch.ones(PAGE)]) == 0
