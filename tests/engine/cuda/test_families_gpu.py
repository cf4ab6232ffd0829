"""Families beside the plain ones on a GPU: scores, batches, steps, and how the record says it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch

from quantbench.decoding import Request
from quantbench.engine.cuda.decoder import CudaDecoder
from quantbench.engine.layer import Experts
from quantbench.engine.linear import Linear
from quantbench.engine.load import load_decoder
from quantbench.weights.formats import FloatWeight, Weight
from quantbench.weights.quantizers.int4 import quantize_int4
from quantbench.weights.quantizers.int8 import quantize_int8
from tests.engine.models import VARIANTS, native, prompts, ran, read, reference_model, source_of

pytestmark = pytest.mark.gpu
NEW = [
    name for name in VARIANTS if not name.startswith(("qwen2-t", "qwen2-w", "qwen2-y", "qwen3-b", "mistral"))
]


NEAR_TIE = 0.02  # of a router's ratings' spread; half precision moves a rating by some thousandths of it


@dataclass(frozen=True)
class Noted:
    """A router that notes by how much a token's last chosen expert is rated above the first one left out."""

    router: Linear
    chosen: int
    gaps: list[float]

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        ratings = self.router(x)
        best = ratings.sort(dim=-1, descending=True).values
        gap = (best[:, self.chosen - 1] - best[:, self.chosen]) / ratings.std()
        self.gaps.append(float(gap.min()))
        return ratings


def clear_texts(decoder: Any, lengths: tuple[int, ...]) -> list[tuple[int, ...]]:
    """A text of each length in which no router's choice is a near tie: rounding then changes no expert."""
    model, gaps = decoder._model, list[float]()
    model.layers = tuple(
        replace(layer, mlp=replace(layer.mlp, router=Noted(layer.mlp.router, layer.mlp.chosen, gaps)))
        if isinstance(layer.mlp, Experts)
        else layer
        for layer in model.layers
    )
    return [clear_text(decoder, length, gaps) for length in lengths]


def clear_text(decoder: Any, length: int, gaps: list[float]) -> tuple[int, ...]:
    """The first of many texts whose gaps are all wide."""
    for seed in range(1, 1000):
        (text,) = prompts((length,), seed=seed)
        gaps.clear()
        list(decoder.score([text]))
        if min(gaps, default=1.0) > NEAR_TIE:
            return text
    raise AssertionError(f"in every text of {length} tokens a router's choice is a near tie")


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
    exact = native(model, quantize)
    texts = clear_texts(exact, (9, 40))
    decoder = on_gpu(model, quantize, cuda)
    assert isinstance(decoder, CudaDecoder)
    for found, wanted in zip(decoder.score(texts), exact.score(texts), strict=True):
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


def test_texts_that_outgrow_longropes_length_go_on_with_its_long_factors(cuda: torch.device) -> None:
    model = reference_model("phi4-mini")
    decoder, exact = on_gpu(model, halves, cuda), native(model, halves)
    texts = prompts((50, 90))  # the length is 64
    for found, wanted in zip(decoder.score(texts), exact.score(texts), strict=True):
        assert (found.cpu() - wanted).norm() < 0.03 * wanted.norm()
    found = decoder.generate([Request(prompt_ids=t, max_new_tokens=30) for t in texts], batch_size=2)
    for text, written in zip(texts, found, strict=True):
        whole = (*text, *written.token_ids)
        (scores,) = decoder.score([whole])
        rows = scores[max(len(text), 65) - 1 : -1]  # tokens that follow a text longer than 64
        told = rows.gather(1, torch.tensor(whole[-len(rows) :], device=rows.device)[:, None])[:, 0]
        assert (rows.amax(1) - told).max() <= 0.03 * rows.abs().max()
