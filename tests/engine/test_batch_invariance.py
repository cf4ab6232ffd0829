"""Where a completion is promised to be the same in every batch, and where it is said not to be."""

from typing import Any

import pytest
import torch

from quantbench.engine import cuda_decoder
from quantbench.engine.cpu import build
from quantbench.engine.cuda_decoder import CudaDecoder, FewRows
from quantbench.engine.decoder import NativeDecoder
from quantbench.engine.kernels.layout import pack_model
from quantbench.engine.kernels.operations import PLAIN
from quantbench.engine.weights import FloatWeight
from tests.engine.models import native, prompts, reference_model

COMPILED = pytest.mark.skipif(build.load_kernels().library is None, reason="no CPU kernels")
KEY = "batch invariance"


def on_cpu() -> NativeDecoder:
    found = native(reference_model("qwen3", head_dim=32), lambda name, tensor: FloatWeight(tensor.half()))
    assert isinstance(found, NativeDecoder)
    return found


@COMPILED
def test_the_cpus_kernels_promise_it_always() -> None:
    decoder = on_cpu()
    assert decoder.batch_invariant
    assert decoder.kernels()[KEY].startswith("always")


@COMPILED
def test_logits_on_the_cpu_are_the_same_bits_alone_and_among_others() -> None:
    decoder = on_cpu()
    texts = prompts((9, 40, 1, 17, 64))
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
    assert decoder.kernels()[KEY] == "not promised by plain torch"


def fast(**options: Any) -> CudaDecoder:
    plain = on_cpu()
    return CudaDecoder(pack_model(plain.config, plain._parameters), operations=PLAIN, **options)


@pytest.mark.parametrize(("asked", "said"), [(True, "on"), (False, "off")])
def test_the_fast_engine_says_whether_it_was_asked(asked: bool, said: str) -> None:
    decoder = fast(batch_invariant=asked)
    assert decoder.batch_invariant is asked
    assert decoder.kernels()[KEY].startswith(said)


def test_loading_hands_the_wish_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_to_build(model: Any, state: Any) -> Any:
        raise NotImplementedError

    monkeypatch.setattr(cuda_decoder, "few_rows", lambda: FewRows(none_to_build, "few", 4))
    plain = on_cpu()
    assert cuda_decoder.load_cuda(plain.config, plain._parameters, batch_invariant=True).batch_invariant
