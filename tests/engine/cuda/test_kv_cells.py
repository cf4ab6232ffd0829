"""Keys and values in 8 bits: kernels hold and read the codes of the reference, and touch nothing else."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from quantbench.decoding import Request
from quantbench.engine.config import ModelConfig
from quantbench.engine.cuda.triton import decode_attention as module
from quantbench.engine.cuda.triton.decode_attention import (
    AttentionCall,
    Scratch,
    decode_attention,
    decode_attention_reference,
)
from quantbench.engine.cuda.triton.rotate import HeadRotation, rotate_prompts, rotate_prompts_reference
from quantbench.engine.decoder import NativeDecoder
from quantbench.engine.kv_format import KV_CODES, decode, encode
from quantbench.settings import KvFormat
from tests.engine.cuda.matrices import distance, normal, poisoned
from tests.engine.cuda.test_attention import FAMILIES, config_of, qkv_of
from tests.engine.cuda.test_attention import rotation_of as plain_rotation
from tests.engine.cuda.test_decoder import fast, requests
from tests.engine.models import native, prompts, ran, reference_model

FORMATS = list(KvFormat)
SHORT_AND_LONG = [FORMATS[0], *(pytest.param(kv, marks=pytest.mark.long) for kv in FORMATS[1:])]
Cache = tuple[Tensor, ...]


def cache_of(
    config: ModelConfig, kv: KvFormat, written: list[int], capacity: int, device: torch.device
) -> Cache:
    """Rows of which the first positions are written; the scales of all others are not a number."""
    shape = (len(written), config.kv_heads, capacity, config.head_dim)
    pairs = [encode(KV_CODES[kv], normal(*shape, device=device, seed=seed)) for seed in (2, 3)]
    for _, scales in pairs:
        for row, count in enumerate(written):
            scales[row, :, max(count, 0) :] = torch.nan
    return pairs[0][0], pairs[1][0], pairs[0][1], pairs[1][1]


def rotation_of(config: ModelConfig, positions: int, device: torch.device) -> HeadRotation:
    """Of heads that are smoothed; not of narrow ones."""
    rotation = plain_rotation(config, positions, device)
    if config.head_dim == 8:
        return rotation
    shape = (config.heads + config.kv_heads, config.head_dim)
    offset = normal(*shape, device=device, seed=7).float()
    offset[: config.heads] = 0
    factor = normal(*shape, device=device, seed=8).float().round().exp2()
    return replace(rotation, smoothing=torch.stack((offset, factor)))


def values_of(cache: Cache) -> Tensor:
    """What is read from all of a cache; zero where a scale is not a number."""
    return torch.stack((decode(cache[0], cache[2]), decode(cache[1], cache[3]))).nan_to_num(0)


@pytest.mark.parametrize("kv", FORMATS)
@pytest.mark.parametrize("name", FAMILIES)
def test_prompts_are_held_and_become_what_is_read_again(
    device: torch.device, name: str, kv: KvFormat
) -> None:
    config = config_of(name)
    rotation = rotation_of(config, 16, device)
    slot_mapping = torch.tensor([[2, 0, -1, 1], [0, 15, 1, 7]], dtype=torch.int32, device=device)
    ours, theirs, scored = (qkv_of(config, 4, device) for _ in range(3))
    found, wanted = (cache_of(config, kv, [0, 0, 0], 16, device) for _ in range(2))
    rotate_prompts(config, rotation, ours, slot_mapping, found, kv)
    rotate_prompts_reference(config, rotation, theirs, slot_mapping, wanted, kv)
    rotate_prompts(config, rotation, scored, slot_mapping, None, kv)
    assert torch.equal(ours, scored)
    assert distance(ours, theirs) < 3e-3
    assert torch.equal(found[2].isnan(), wanted[2].isnan())
    assert distance(values_of(found), values_of(wanted)) < 3e-3
    held = ours[0].view(-1, config.head_dim)[config.heads :]
    assert distance(held, values_of(found)[:, 2, :, 0].flatten(0, 1)) < 1e-3


@pytest.mark.parametrize("kv", FORMATS)
@pytest.mark.parametrize(
    ("name", "window"), [("groups-of-seven", None), ("narrow", 70), ("head-norms", None)]
)
def test_decoding_reads_codes_and_adds_its_own(
    device: torch.device, name: str, window: int | None, kv: KvFormat
) -> None:
    config, positions = config_of(name), [0, 1, 63, 64, 100, -1, 130]
    rotation, qkv = rotation_of(config, 128, device), qkv_of(config, 7, device)
    found, wanted = (cache_of(config, kv, positions, 128, device) for _ in range(2))
    y, z = (poisoned(7, config.q_size, device=device) for _ in range(2))
    at = torch.tensor(positions, dtype=torch.int32, device=device)
    decode_attention(AttentionCall(config, rotation, qkv, at, found, y, window))
    decode_attention_reference(AttentionCall(config, rotation, qkv, at, wanted, z, window))
    assert distance(y[:5], z[:5]) < 4e-3
    assert y[5:].isnan().all()
    assert torch.equal(found[2].isnan(), wanted[2].isnan())
    assert distance(values_of(found), values_of(wanted)) < 3e-3


@pytest.mark.parametrize("kv", FORMATS)
def test_chunks_of_a_long_context_add_up(
    device: torch.device, kv: KvFormat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK", 64)
    config, positions = config_of("groups-of-seven"), [0, 63, 64, 129, 191]
    rotation, qkv = rotation_of(config, 192, device), qkv_of(config, 5, device)
    ours, theirs = (cache_of(config, kv, positions, 192, device) for _ in range(2))
    y, z = (poisoned(5, config.q_size, device=device) for _ in range(2))
    at = torch.tensor(positions, dtype=torch.int32, device=device)
    scratch = Scratch.allocate(config, 5, 192, device)
    decode_attention_reference(AttentionCall(config, rotation, qkv, at, theirs, z))
    decode_attention(AttentionCall(config, rotation, qkv, at, ours, y, None, scratch))
    assert distance(y, z) < 4e-3


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
@pytest.mark.parametrize("kv", FORMATS)
def test_what_is_not_finite_is_read_as_not_a_number(device: torch.device, kv: KvFormat, bad: float) -> None:
    config = config_of("narrow")
    rotation, qkv = rotation_of(config, 8, device), qkv_of(config, 2, device)
    qkv[0, -1] = bad
    mapping = torch.tensor([[0, 1], [0, 0]], dtype=torch.int32, device=device)
    cache = cache_of(config, kv, [0, 0], 8, device)
    rotate_prompts(config, rotation, qkv, mapping, cache, kv)
    assert cache[3][0, -1, 0].isnan()
    assert not cache[3][1, :, 0].isnan().any()
    assert qkv[0].view(-1, config.head_dim)[-1].isnan().all()


@pytest.mark.parametrize("kv", SHORT_AND_LONG)
def test_scores_choose_the_tokens_that_are_answered(kv: KvFormat) -> None:
    plain = native(reference_model("qwen2-tied"), kv=kv)
    assert isinstance(plain, NativeDecoder)
    decoder: Any = fast(plain, kv=kv)
    asked = requests()
    answers = decoder.generate(asked, batch_size=3)
    assert answers == decoder.generate(asked, batch_size=1) == plain.generate(asked, batch_size=2)
    texts = [request.prompt_ids + answer.token_ids for request, answer in zip(asked, answers, strict=True)]
    for text, request, scores in zip(texts, asked, decoder.score(texts), strict=True):
        chosen = scores[len(request.prompt_ids) - 1 : -1].argmax(-1)
        assert tuple(chosen.tolist()) == text[len(request.prompt_ids) :]
    assert ran(decoder, "KV cache").name.startswith(kv.value)


@pytest.mark.parametrize("kv", SHORT_AND_LONG)
def test_an_answer_to_a_prompt_computed_once_is_the_same(kv: KvFormat) -> None:
    plain = native(reference_model("qwen3"), kv=kv)
    assert isinstance(plain, NativeDecoder)
    (prompt,) = prompts((9,))
    same = [Request(prompt_ids=prompt, max_new_tokens=8)] * 3
    for decoder in (plain, fast(plain, kv=kv)):
        first, second, third = decoder.generate(same, batch_size=3)
        assert first == second == third == decoder.generate(same[:1], batch_size=1)[0]
