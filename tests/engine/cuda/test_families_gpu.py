"""Families beside the plain ones on a GPU: scores, batches, steps, and how the record says it."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from quantbench.decoding import Request
from quantbench.engine.cuda.decoder import CudaDecoder
from quantbench.engine.load import load_decoder
from quantbench.weights.formats import FloatWeight, Weight
from quantbench.weights.quantizers.int4 import quantize_int4
from quantbench.weights.quantizers.int8 import quantize_int8
from tests.engine.models import VARIANTS, native, prompts, ran, read, reference_model, source_of

pytestmark = pytest.mark.gpu
NEW = [
    name for name in VARIANTS if not name.startswith(("qwen2-t", "qwen2-w", "qwen2-y", "qwen3-b", "mistral"))
]


def halves(name: str, tensor: torch.Tensor) -> Weight:
    return FloatWeight(tensor.half())


def four_bits(name: str, tensor: torch.Tensor) -> Weight:
    return quantize_int4(name, tensor, group_size=32)


def on_gpu(model: Any, quantize: Callable[[str, torch.Tensor], Weight], device: torch.device) -> Any:
    return load_decoder(*read(source_of(model), quantize), device=str(device), dtype="float16")


@pytest.mark.parametrize("variant", NEW)
@pytest.mark.parametrize("quantize", [halves, quantize_int8, four_bits])
def test_scores_on_a_gpu_are_those_on_a_cpu(
    cuda: torch.device, variant: str, quantize: Callable[[str, torch.Tensor], Weight]
) -> None:
    wide = {"intermediate_size": 64}  # whole groups of 32 weights in every matrix
    if "moe_intermediate_size" in VARIANTS[variant]:
        wide["moe_intermediate_size"] = 32
    model = reference_model(variant, **wide)
    texts = prompts((9, 40))
    decoder = on_gpu(model, quantize, cuda)
    assert isinstance(decoder, CudaDecoder)
    for found, wanted in zip(decoder.score(texts), native(model, quantize).score(texts), strict=True):
        assert (found.cpu() - wanted).norm() < 0.03 * wanted.norm()


@pytest.mark.parametrize("variant", NEW)
def test_ragged_batches_are_generated_and_the_record_says_how(cuda: torch.device, variant: str) -> None:
    decoder = on_gpu(reference_model(variant), halves, cuda)
    requests = [
        Request(prompt_ids=p, max_new_tokens=n) for p, n in zip(prompts((3, 17, 1)), (9, 3, 12), strict=True)
    ]
    alone = [decoder.generate([request], batch_size=1)[0] for request in requests]
    together = decoder.generate(requests, batch_size=2)
    assert [len(g.token_ids) for g in together] == [9, 3, 12]
    assert [g.token_ids[0] for g in together] == [g.token_ids[0] for g in alone]
    assert "triton" in ran(decoder, "decode step").name


@pytest.mark.parametrize("variant", NEW)
def test_tokens_decoded_step_by_step_are_the_best_of_the_scores(cuda: torch.device, variant: str) -> None:
    decoder = on_gpu(reference_model(variant), halves, cuda)
    (prompt,) = prompts((11,))
    (found,) = decoder.generate([Request(prompt_ids=prompt, max_new_tokens=16)], batch_size=1)
    (scores,) = decoder.score([(*prompt, *found.token_ids)])
    rows = scores[len(prompt) - 1 : -1]
    told = rows.gather(1, torch.tensor(found.token_ids, device=rows.device)[:, None])[:, 0]
    assert (rows.amax(1) - told).max() <= 0.03 * rows.abs().max()
