"""The cache in 8 bits: fewer bytes, and one arithmetic for prompts, new tokens and scores."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from quantbench.decoding import Decoder, Request
from quantbench.engine.config import ModelConfig
from quantbench.engine.cpu import build
from quantbench.engine.decoder import NativeDecoder
from quantbench.engine.kv_cache import KeyValueCache
from quantbench.engine.kv_format import KV_CODES, rounded
from quantbench.engine.operations import HeadNorms, Operations, Rotation
from quantbench.engine.plain.attention import rotated_heads
from quantbench.engine.plain.operations import PlainOperations
from quantbench.settings import KvFormat
from tests.engine.models import native, prompts, ran, reference_model
from tests.engine.test_cpu_kernels import config as shape_of
from tests.engine.test_cpu_kernels import operations
from tests.engine.test_passes import forced

FORMATS = list(KvFormat)
SHORT_AND_LONG = [FORMATS[0], *(pytest.param(kv, marks=pytest.mark.long) for kv in FORMATS[1:])]
HAS_KERNELS = build.load_kernels().kernels is not None
OWN = pytest.param("own", marks=pytest.mark.skipif(not HAS_KERNELS, reason="no CPU kernels"))
WIDE = {"head_dim": 32, "hidden_size": 64, "intermediate_size": 96}
CPU = torch.device("cpu")


@pytest.fixture(params=["torch", OWN])
def kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Both ways in which a CPU runs a model."""
    if request.param == "torch":
        off = build.Built(None, "off")
        monkeypatch.setattr("quantbench.engine.cpu.operations.load_kernels", lambda: off)
    yield request.param


def decoder_of(variant: str, kv: KvFormat | None) -> Decoder:
    return native(reference_model(variant, **WIDE), kv=kv)


@pytest.mark.parametrize("kv", FORMATS)
@pytest.mark.parametrize("variant", ["qwen2-tied", "mistral-window", "gemma2"])
def test_scores_are_what_answers_were_chosen_by(variant: str, kv: KvFormat, kernels: str) -> None:
    decoder = decoder_of(variant, kv)
    assert isinstance(decoder, NativeDecoder)
    decoder._model.stack = None  # which leaves no logits to be watched
    for chosen, found in forced(decoder, prompts((5, 23, 1)), 12):
        torch.testing.assert_close(chosen, found, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kv", SHORT_AND_LONG)
def test_answers_do_not_depend_on_the_batch_or_on_who_had_the_row_before(kv: KvFormat, kernels: str) -> None:
    decoder = decoder_of("qwen3", kv)
    lengths = (5, 1, 12, 30, 7, 2, 9)
    requests = [Request(prompt_ids=p, max_new_tokens=3 + 5 * i % 17) for i, p in enumerate(prompts(lengths))]
    assert decoder.generate(requests, batch_size=3) == decoder.generate(requests, batch_size=1)


def exact_attention(
    config: ModelConfig,
    qkv: Tensor,
    lengths: tuple[int, ...],
    rotation: Rotation,
    norms: HeadNorms,
    kv: KvFormat,
) -> Tensor:
    """Causal attention of prompts in float64 over keys and values as they are held: [tokens, q_size]."""
    outputs = []
    for part in torch.split(qkv, lengths):
        tables = (table[: len(part), None] for table in rotation.of(0))
        q, k, v = rotated_heads(config, part, norms, *tables)
        k, v = (
            rounded(KV_CODES[kv], held.float()).double().repeat_interleave(config.groups, 1)
            for held in (k, v)
        )
        scores = torch.einsum("qhd,khd->hqk", q.double(), k) * config.head_dim**-0.5
        seen = torch.ones(len(part), len(part)).tril().bool()
        weights = scores.masked_fill(~seen, -torch.inf).softmax(-1)
        outputs.append(torch.einsum("hqk,khd->qhd", weights, v).flatten(1))
    return torch.cat(outputs)


def poisoned(config: ModelConfig, rows: int, capacity: int, kv: KvFormat) -> KeyValueCache:
    """What has not been written makes every result NaN in which it takes part."""
    cache = KeyValueCache(config, rows=rows, capacity=capacity, device=CPU, dtype=torch.float32, kv=kv)
    for cells in (*cache.keys, *cache.values):
        assert cells.scales is not None
        cells.scales.fill_(torch.nan)
    return cache


@pytest.mark.skipif(not HAS_KERNELS, reason="no CPU kernels")
@pytest.mark.parametrize("kv", FORMATS)
@pytest.mark.parametrize("smoothed", [False, True])
@pytest.mark.parametrize("way", ["prompts", "one by one", "many at once"])
def test_ragged_texts_are_attended_as_in_float64(kv: KvFormat, way: str, smoothed: bool) -> None:
    config, lengths = shape_of(), (70, 1, 33)
    rotation = Rotation(config, CPU, torch.float32)
    rotation.reserve(80)
    generator = torch.Generator().manual_seed(3)
    qkv = torch.randn(sum(lengths), config.q_size + 2 * config.kv_size, generator=generator) * 2
    norms = head_norms(config, smoothed=smoothed)
    expected = exact_attention(config, qkv, lengths, rotation, norms, kv)
    found = attended(operations(config), config, way, qkv, lengths, rotation, norms, kv)
    assert (found - expected).norm() <= 1e-5 * expected.norm()


def head_norms(config: ModelConfig, *, smoothed: bool) -> HeadNorms:
    """Without norms; smoothed heads have offsets of their keys, and factors that leave scores alone."""
    if not smoothed:
        return HeadNorms(None, None)
    generator = torch.Generator().manual_seed(4)
    keys = torch.randn(2, config.kv_heads, config.head_dim, generator=generator)
    powers = keys[1].round().repeat_interleave(config.groups, dim=0)
    offset = torch.cat((torch.zeros_like(powers), 5 * keys[0]))
    return HeadNorms(None, None, torch.stack((offset, torch.cat((powers, -keys[1].round())).exp2())))


def attended(
    run: Operations,
    config: ModelConfig,
    way: str,
    qkv: Tensor,
    lengths: tuple[int, ...],
    rotation: Rotation,
    norms: HeadNorms,
    kv: KvFormat,
) -> Tensor:
    """The same by the engine's kernels, in rows 3, 0 and 2 of a cache."""
    rows = (3, 0, 2)[: len(lengths)]
    cache = poisoned(config, 4, 80, kv)
    if way == "prompts":
        return run.prompt_attention(cache, rotation, lengths, rows)(0, qkv.clone(), norms)
    spans = [range(length) for length in lengths]
    if way == "many at once":
        return run.continuation_attention(cache, rotation, spans, rows)(0, qkv.clone(), norms)
    parts = []
    for part in torch.split(qkv, lengths):
        alone = poisoned(config, 1, 80, kv)
        for at in range(len(part)):
            step = run.token_attention(alone, rotation, torch.tensor([at]), at, True)
            parts.append(step(0, part[at : at + 1].clone(), norms))
    return torch.cat(parts)


@pytest.mark.parametrize("kv", FORMATS)
def test_the_cache_has_a_byte_an_element_and_four_a_token_and_head(kv: KvFormat) -> None:
    decoder, plain = decoder_of("qwen2-tied", kv), decoder_of("qwen2-tied", None)
    (request,) = (Request(prompt_ids=p, max_new_tokens=4) for p in prompts((9,)))
    for one in (decoder, plain):
        one.generate([request], batch_size=1)
    layers, heads, positions = 2, 2, 13
    assert plain.cache_bytes == layers * heads * positions * 2 * 32 * 4  # type: ignore[attr-defined]
    assert decoder.cache_bytes == layers * heads * positions * 2 * (32 + 4)  # type: ignore[attr-defined]
    assert decoder.step_bytes(3, 10)[1] == 3 * layers * heads * 10 * 2 * (32 + 4)
    assert ran(decoder, "KV cache").name.startswith(kv.value)


def test_a_row_that_moves_takes_its_scales_along() -> None:
    config = shape_of()
    cache = KeyValueCache(config, rows=2, capacity=5, device=CPU, dtype=torch.float32, kv=KvFormat.INT8)
    x = torch.randn(config.kv_heads, 4, config.head_dim)
    seen = cache.put(0, (1, slice(None), slice(4)), x, 2 * x)
    cache.move(1, 0, 4)
    found = cache.read(0, (0, slice(None), slice(4)), torch.float32)
    assert all(torch.equal(one, other) for one, other in zip(found, seen, strict=True))


@pytest.mark.parametrize("smoothed", [False, True])
def test_plain_operations_attend_to_the_same_codes_as_the_kernels(smoothed: bool) -> None:
    config = shape_of()
    rotation, norms = Rotation(config, CPU, torch.float32), head_norms(config, smoothed=smoothed)
    rotation.reserve(80)
    qkv = torch.randn(9, config.q_size + 2 * config.kv_size, generator=torch.Generator().manual_seed(5))
    for kv in FORMATS:
        expected = exact_attention(config, qkv, (9,), rotation, norms, kv)
        for way in ("prompts", "many at once", "one by one"):
            found = attended(PlainOperations(config), config, way, qkv, (9,), rotation, norms, kv)
            assert (found - expected).norm() <= 1e-5 * expected.norm()
