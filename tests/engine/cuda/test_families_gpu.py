"""Families whose layers the GPU's kernels do not know: plain torch runs them there, and says so."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from quantbench.decoding import Request
from quantbench.engine.decoder import NativeDecoder
from quantbench.engine.load import load_decoder
from quantbench.weights.formats import FloatWeight, Weight
from quantbench.weights.quantizers.int4 import quantize_int4
from quantbench.weights.quantizers.int8 import quantize_int8
from tests.engine.models import VARIANTS, native, prompts, ran, read, reference_model, source_of, with_kernels

pytestmark = pytest.mark.gpu
PLAIN = [name for name, settings in VARIANTS.items() if not with_kernels(settings)]


def halves(name: str, tensor: torch.Tensor) -> Weight:
    return FloatWeight(tensor.half())


def four_bits(name: str, tensor: torch.Tensor) -> Weight:
    return quantize_int4(name, tensor, group_size=16)


def on_gpu(model: Any, quantize: Callable[[str, torch.Tensor], Weight], device: torch.device) -> Any:
    return load_decoder(*read(source_of(model), quantize), device=str(device), dtype="float16")


@pytest.mark.parametrize("variant", PLAIN)
@pytest.mark.parametrize("quantize", [halves, quantize_int8, four_bits])
def test_scores_on_a_gpu_are_those_on_a_cpu(
    cuda: torch.device, variant: str, quantize: Callable[[str, torch.Tensor], Weight]
) -> None:
    model = reference_model(variant)
    texts = prompts((9, 40))
    decoder = on_gpu(model, quantize, cuda)
    assert isinstance(decoder, NativeDecoder)
    for found, wanted in zip(decoder.score(texts), native(model, quantize).score(texts), strict=True):
        assert (found.cpu() - wanted).norm() < 0.03 * wanted.norm()


@pytest.mark.parametrize("variant", PLAIN)
def test_ragged_batches_are_generated_and_the_record_says_how(cuda: torch.device, variant: str) -> None:
    decoder = on_gpu(reference_model(variant), halves, cuda)
    requests = [
        Request(prompt_ids=p, max_new_tokens=n) for p, n in zip(prompts((3, 17, 1)), (9, 3, 12), strict=True)
    ]
    alone = [decoder.generate([request], batch_size=1)[0] for request in requests]
    together = decoder.generate(requests, batch_size=2)
    assert [len(g.token_ids) for g in together] == [9, 3, 12]
    assert [g.token_ids[0] for g in together] == [g.token_ids[0] for g in alone]
    reason = ran(decoder, "linear").reason
    assert reason is not None
    assert reason.endswith(("have no kernels", "has no kernel"))
