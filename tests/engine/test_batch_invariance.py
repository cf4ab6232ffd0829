"""Where a completion is promised to be the same in every batch, and where it is said not to be."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from quantbench.engine.cpu import build
from quantbench.engine.cuda import decoder as cuda_decoder
from quantbench.engine.cuda.decoder import CudaDecoder
from quantbench.engine.cuda.operations import PLAIN
from quantbench.engine.cuda.packing import packed_parameters
from quantbench.engine.cuda.persistent_step import PersistentStep
from quantbench.engine.decoder import NativeDecoder
from quantbench.weights.formats import FloatWeight, Weight
from quantbench.weights.quantizers.int4 import quantize_int4
from quantbench.weights.quantizers.int8 import quantize_int8
from tests.engine.models import native, prompts, ran, reference_model

COMPILED = pytest.mark.skipif(build.load_kernels().kernels is None, reason="no CPU kernels")
KEY = "batch invariance"


def to_half(name: str, tensor: torch.Tensor) -> Weight:
    return FloatWeight(tensor.half())


def on_cpu(quantize: Callable[[str, torch.Tensor], Weight] = to_half) -> NativeDecoder:
    model = reference_model("qwen3", head_dim=32, hidden_size=64, intermediate_size=96)
    found = native(model, quantize)
    assert isinstance(found, NativeDecoder)
    return found


@COMPILED
def test_the_cpus_kernels_promise_it_always() -> None:
    decoder = on_cpu()
    assert decoder.batch_invariant
    assert ran(decoder, KEY).name.startswith("always")


def to_int4(name: str, tensor: torch.Tensor) -> Weight:
    return quantize_int4(name, tensor, group_size=32, importance=None)


@COMPILED
@pytest.mark.parametrize("quantize", [to_half, quantize_int8, to_int4])
def test_logits_on_the_cpu_are_the_same_bits_alone_and_among_others(quantize: Any) -> None:
    decoder = on_cpu(quantize)
    texts = prompts((9, 40, 1, 17, 64, 100))
    together = list(decoder.score(texts))
    for text, among_others in zip(texts, together, strict=True):
        (alone,) = decoder.score([text])
        assert torch.equal(alone, among_others)


def test_plain_torch_promises_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "quantbench.engine.cpu.operations.load_kernels", lambda: build.Built(None, "no C++ compiler")
    )
    decoder = on_cpu()
    assert not decoder.batch_invariant
    assert ran(decoder, KEY).name == "not promised by plain torch"


def fast(**options: Any) -> CudaDecoder:
    plain = on_cpu()
    return CudaDecoder(packed_parameters(plain._parameters), operations=PLAIN, **options)


@pytest.mark.parametrize(("asked", "said"), [(True, "on"), (False, "off")])
def test_the_fast_engine_says_whether_it_was_asked(asked: bool, said: str) -> None:
    decoder = fast(batch_invariant=asked)
    assert decoder.batch_invariant is asked
    assert ran(decoder, KEY).name.startswith(said)


def test_loading_hands_the_wish_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_to_build(model: Any, state: Any) -> Any:
        raise NotImplementedError

    monkeypatch.setattr(cuda_decoder, "persistent_step", lambda _: PersistentStep(none_to_build, "few", 4))
    plain = on_cpu()
    assert cuda_decoder.load_cuda(plain._parameters, batch_invariant=True).batch_invariant
