"""On a GPU: the fast decoder against transformers in float32, and against itself in other batches."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from quantbench.decoding import Request
from quantbench.engine.cuda.decoder import CudaDecoder
from quantbench.engine.load import load_decoder
from quantbench.errors import NotFiniteError
from quantbench.weights.formats import FloatWeight, Weight
from quantbench.weights.quantizers.int4 import quantize_int4
from quantbench.weights.quantizers.int4_double import quantize_int4_double
from quantbench.weights.quantizers.int8 import quantize_int8
from tests.conftest import cuda_devices
from tests.engine.models import VARIANTS, DictSource, prompts, read, reference_model, source_of, with_kernels

pytestmark = pytest.mark.gpu
KNOWN = [name for name, settings in VARIANTS.items() if with_kernels(settings) and name != "phi4-mini"]
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


def fast(model: Any, device: torch.device) -> CudaDecoder:
    decoder = load_decoder(*read(source_of(model), float16), device=str(device), dtype="float16")
    assert isinstance(decoder, CudaDecoder)
    return decoder


def float16(name: str, tensor: torch.Tensor) -> Weight:
    return FloatWeight(tensor.half())


def eight_bits(name: str, tensor: torch.Tensor) -> Weight:
    return spoil(quantize_int8(name, tensor.nan_to_num(0, 0, 0)), tensor)


def four_bits(name: str, tensor: torch.Tensor) -> Weight:
    return spoil(quantize_int4(name, tensor.nan_to_num(0, 0, 0), group_size=32), tensor)


def double(name: str, tensor: torch.Tensor) -> Weight:
    return spoil(quantize_int4_double(name, tensor.nan_to_num(0, 0, 0), group_size=32), tensor)


def spoil(weight: Any, tensor: torch.Tensor) -> Weight:
    """A quantizer refuses what is not finite; here the scales carry it on."""
    bad = tensor[~tensor.isfinite()]
    if len(bad):
        weight.scale.view(-1)[0] = bad[0]
    return weight  # type: ignore[no-any-return]


SPOILT = (
    ("model.norm.weight", 65504.0),  # finite itself: a norm that is not is refused when it is read
    ("model.embed_tokens.weight", torch.nan),
    ("model.layers.1.self_attn.v_proj.weight", torch.inf),
    ("model.layers.1.mlp.down_proj.weight", torch.nan),
)
QUANTIZE = {"float": float16, "int8": eight_bits, "int4": four_bits, "double": double}


def spoilt(source: DictSource, name: str, bad: float) -> DictSource:
    """The first number of a tensor replaced; all of a norm."""
    tensor = source.tensors[name].clone()
    tensor.view(-1)[: 1 if tensor.dim() > 1 else None] = bad
    return replace(source, tensors={**source.tensors, name: tensor})


def logits(model: Any, ids: tuple[int, ...]) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(torch.tensor([ids], device=model.device)).logits[0]
    return found.double().cpu()


@pytest.mark.parametrize("variant", KNOWN)
def test_half_precision_errs_no_more_than_that_of_transformers(cuda: torch.device, variant: str) -> None:
    model = model_of(variant)
    texts = prompts((40, 300, 7), vocab=1031)
    ours = [found.double().cpu() for found in fast(model, cuda).score(texts)]
    exact = [logits(model, ids) for ids in texts]
    model = model.half().to(cuda)
    theirs = [logits(model, ids) for ids in texts]

    def error(found: list[torch.Tensor]) -> float:
        return float((torch.cat(found) - torch.cat(exact)).norm() / torch.cat(exact).norm())

    assert error(ours) <= 1.1 * error(theirs)


@pytest.mark.parametrize("variant", KNOWN)
@pytest.mark.parametrize("batch_size", [1, 40])
def test_decoding_goes_on_where_the_prompt_pass_would(
    cuda: torch.device, variant: str, batch_size: int
) -> None:
    """Greedy tokens are the best of teacher-forced logits, save where two are nearly equal."""
    decoder = fast(model_of(variant), cuda)
    asked = [Request(prompt_ids=p, max_new_tokens=24) for p in prompts(tuple(range(1, 41)), vocab=1031)]
    found = decoder.generate(asked, batch_size=batch_size)
    texts = [r.prompt_ids + g.token_ids for r, g in zip(asked, found, strict=True)]
    for request, text, scores in zip(asked, texts, decoder.score(texts), strict=True):
        first = len(request.prompt_ids)
        chosen = torch.tensor(text[first:], device=scores.device)
        rows = scores[first - 1 : -1]
        short = rows.amax(1) - rows.gather(1, chosen[:, None])[:, 0]
        assert float((short / rows.std(1)).max()) < 0.05


def test_rows_replaced_as_they_end_write_what_they_write_alone(cuda: torch.device) -> None:
    decoder = fast(model_of("qwen2-tied"), cuda)
    asked = [
        Request(prompt_ids=p, max_new_tokens=5 + 7 * i % 40)
        for i, p in enumerate(prompts((3, 50, 9, 20) * 6, vocab=1031))
    ]
    together = decoder.generate(asked, batch_size=5)
    alone = decoder.generate(asked, batch_size=1)
    same = sum(a == b for a, b in zip(together, alone, strict=True))
    assert same >= 20  # few of 24 may differ, where two tokens are nearly equal


def test_nothing_is_held_beyond_weights_and_cache(cuda: torch.device) -> None:
    decoder = fast(model_of("qwen2-tied"), cuda)
    decoder.generate([Request(prompt_ids=(1, 2, 3), max_new_tokens=8)], batch_size=1)
    torch.cuda.synchronize(cuda)
    held = sum(tensor.nbytes for _, tensor in decoder.resident_tensors())
    assert torch.cuda.memory_allocated(cuda) - held < 64 * 2**20


@pytest.mark.parametrize("scheme", ["float", "int8", "int4"])
@pytest.mark.parametrize("batch_size", [1, 8])
@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_numbers_that_are_not_finite_end_a_call_in_one_sentence_and_harm_nothing(
    cuda: torch.device, scheme: str, batch_size: int, temperature: float
) -> None:
    asked = [
        Request(prompt_ids=p, max_new_tokens=12, temperature=temperature)
        for p in prompts((7,) * 8, vocab=1031)
    ]
    for name, bad in SPOILT:
        source = spoilt(source_of(model_of("qwen2-tied")), name, bad)
        broken = load_decoder(*read(source, QUANTIZE[scheme]), device=str(cuda), dtype="float16")
        for _ in range(2):
            with pytest.raises(NotFiniteError, match="logits of request 0"):
                broken.generate(asked, batch_size=batch_size)
    torch.cuda.synchronize(cuda)  # an access beyond memory would be told here at the latest


def test_two_gpus_choose_the_same_tokens() -> None:
    asked = [Request(prompt_ids=p, max_new_tokens=24) for p in prompts((5, 60), vocab=1031)]
    found = [
        fast(model_of("qwen3"), torch.device(name)).generate(asked, batch_size=2) for name in cuda_devices()
    ]
    assert all(one == found[0] for one in found)
