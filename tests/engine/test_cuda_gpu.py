"""On a GPU: the fast decoder against transformers in float32, and against itself in other batches."""

from typing import Any

import pytest
import torch

from quantbench.decoding import Request
from quantbench.engine.cuda_decoder import CudaDecoder
from quantbench.engine.load import load_decoder
from tests.engine.models import VARIANTS, keep_float, prompts, reference_model, source_of

pytestmark = pytest.mark.gpu
KNOWN = [name for name in VARIANTS if name != "llama-biases"]  # its activation has no kernel
SHAPE = {
    "vocab_size": 1031,
    "hidden_size": 256,
    "intermediate_size": 416,
    "num_hidden_layers": 3,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
}


def model_of(variant: str) -> Any:
    return reference_model(variant, **SHAPE)


def fast(model: Any) -> CudaDecoder:
    def halved(name: str, tensor: torch.Tensor) -> Any:
        return keep_float(name, tensor.half())

    decoder = load_decoder(source_of(model), quantize=halved, device="cuda", dtype="float16")
    assert isinstance(decoder, CudaDecoder)
    return decoder


def logits(model: Any, ids: tuple[int, ...]) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(torch.tensor([ids], device=model.device)).logits[0]
    return found.double().cpu()


@pytest.mark.parametrize("variant", KNOWN)
def test_half_precision_errs_no_more_than_that_of_transformers(variant: str) -> None:
    model = model_of(variant)
    texts = prompts((40, 300, 7), vocab=1031)
    ours = [found.double().cpu() for found in fast(model).score(texts)]
    exact = [logits(model, ids) for ids in texts]
    model = model.half().cuda()
    theirs = [logits(model, ids) for ids in texts]

    def error(found: list[torch.Tensor]) -> float:
        return float((torch.cat(found) - torch.cat(exact)).norm() / torch.cat(exact).norm())

    assert error(ours) <= 1.1 * error(theirs)


@pytest.mark.parametrize("variant", KNOWN)
@pytest.mark.parametrize("batch_size", [1, 40])
def test_decoding_goes_on_where_the_prompt_pass_would(variant: str, batch_size: int) -> None:
    """Greedy tokens are the best of teacher-forced logits, save where two are nearly equal."""
    decoder = fast(model_of(variant))
    asked = [Request(prompt_ids=p, max_new_tokens=24) for p in prompts(tuple(range(1, 41)), vocab=1031)]
    found = decoder.generate(asked, batch_size=batch_size)
    texts = [r.prompt_ids + g.token_ids for r, g in zip(asked, found, strict=True)]
    for request, text, scores in zip(asked, texts, decoder.score(texts), strict=True):
        first = len(request.prompt_ids)
        chosen = torch.tensor(text[first:], device=scores.device)
        rows = scores[first - 1 : -1]
        short = rows.amax(1) - rows.gather(1, chosen[:, None])[:, 0]
        assert float((short / rows.std(1)).max()) < 0.05


def test_rows_replaced_as_they_end_write_what_they_write_alone() -> None:
    decoder = fast(model_of("qwen2-tied"))
    asked = [
        Request(prompt_ids=p, max_new_tokens=5 + 7 * i % 40)
        for i, p in enumerate(prompts((3, 50, 9, 20) * 6, vocab=1031))
    ]
    together = decoder.generate(asked, batch_size=5)
    alone = decoder.generate(asked, batch_size=1)
    same = sum(a == b for a, b in zip(together, alone, strict=True))
    assert same >= 20  # few of 24 may differ, where two tokens are nearly equal


def test_nothing_is_held_beyond_weights_and_cache() -> None:
    decoder = fast(model_of("qwen2-tied"))
    decoder.generate([Request(prompt_ids=(1, 2, 3), max_new_tokens=8)], batch_size=1)
    torch.cuda.synchronize()
    held = sum(tensor.nbytes for _, tensor in decoder.resident_tensors())
    assert torch.cuda.memory_allocated() - held < 64 * 2**20
