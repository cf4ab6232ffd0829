"""Attention kernels agree with plain attention at ragged lengths, fill the cache, leave idle rows alone."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from quantbench.engine.config import ModelConfig, read_config
from quantbench.engine.cuda.triton import decode_attention as module
from quantbench.engine.cuda.triton.decode_attention import (
    AttentionCall,
    Scratch,
    decode_attention,
    decode_attention_reference,
)
from quantbench.engine.cuda.triton.interleave import interleaved
from quantbench.engine.cuda.triton.prompt_attention import (
    Prompts,
    prompt_attention,
    prompt_attention_reference,
)
from quantbench.engine.cuda.triton.rotate import (
    HeadRotation,
    rotate_prompts,
    rotate_prompts_reference,
    rotation_tables,
)
from tests.engine.cuda.matrices import distance, normal, poisoned

FAMILIES = {
    "normed": {"model_type": "qwen3", "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32},
    "groups-of-seven": {"num_attention_heads": 14, "num_key_value_heads": 2, "head_dim": 64},
    "narrow": {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8},
    "head-norms": {"model_type": "qwen3", "num_attention_heads": 4, "num_key_value_heads": 4, "head_dim": 16},
}


def config_of(name: str, **changes: int) -> ModelConfig:
    shape = {"vocab_size": 50, "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1}
    return read_config({"model_type": "llama", **shape, **FAMILIES[name], **changes})


def rotation_of(config: ModelConfig, positions: int, device: torch.device) -> HeadRotation:
    cosines, sines = rotation_tables(config, positions, device)[config.rope]
    norms = [1 + normal(config.head_dim, device=device, seed=s) / 4 for s in (5, 6)]
    q_norm, k_norm = norms if config.qk_norm else (None, None)
    return HeadRotation(cosines=cosines, sines=sines, q_norm=q_norm, k_norm=k_norm)


def cache_of(config: ModelConfig, rows: int, capacity: int, device: torch.device) -> tuple[Tensor, Tensor]:
    shape = (rows, config.kv_heads, capacity, config.head_dim)
    return normal(*shape, device=device, seed=2), normal(*shape, device=device, seed=3)


def qkv_of(config: ModelConfig, tokens: int, device: torch.device) -> Tensor:
    return normal(tokens, config.q_size + 2 * config.kv_size, device=device, seed=4)


@pytest.mark.parametrize("name", [name for name in FAMILIES if name != "normed"])
@pytest.mark.parametrize(("window", "order"), [(None, 1), (1, 1), (70, 1), (None, 32)])
def test_decoding_attends_to_every_cached_position_and_stores_its_own(
    device: torch.device, name: str, window: int | None, order: int
) -> None:
    config, positions = config_of(name), [0, 1, 63, 64, 100, -1, 130]
    rotation, qkv = rotation_of(config, 128, device), qkv_of(config, 7, device)
    found, wanted = cache_of(config, 7, 128, device), cache_of(config, 7, 128, device)
    y, z = (poisoned(7, config.q_size, device=device) for _ in range(2))
    at = torch.tensor(positions, dtype=torch.int32, device=device)
    decode_attention(AttentionCall(config, rotation, qkv, at, found, y, window, None, order))
    decode_attention_reference(AttentionCall(config, rotation, qkv, at, wanted, z, window))
    z = interleaved(z, order)
    assert distance(y[:5], z[:5]) < 2e-3
    assert y[5:].isnan().all()
    for ours, theirs in zip(found, wanted, strict=True):
        assert distance(ours, theirs) < 1e-4


@pytest.mark.parametrize("window", [None, 20])
def test_chunks_of_a_long_context_add_up(
    device: torch.device, window: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK", 64)
    config, positions = config_of("groups-of-seven"), [0, 63, 64, 129, 191]
    rotation, qkv = rotation_of(config, 192, device), qkv_of(config, 5, device)
    cache = cache_of(config, 5, 192, device)
    y, z = (poisoned(5, config.q_size, device=device) for _ in range(2))
    at = torch.tensor(positions, dtype=torch.int32, device=device)
    scratch = Scratch.allocate(config, 5, 192, device)
    assert scratch is not None
    scratch.parts.fill_(float("nan"))
    decode_attention_reference(AttentionCall(config, rotation, qkv, at, cache, z, window))
    decode_attention(AttentionCall(config, rotation, qkv, at, cache, y, window, scratch, 64))
    assert distance(y, interleaved(z, 64)) < 2e-3


def test_a_view_of_the_first_rows_is_attended_in_place(device: torch.device) -> None:
    config = config_of("narrow")
    rotation, qkv = rotation_of(config, 32, device), qkv_of(config, 2, device)
    whole = torch.stack(cache_of(config, 4, 32, device))
    views, copies = (whole[0, :2], whole[1, :2]), (whole[0, :2].clone(), whole[1, :2].clone())
    y, z = (poisoned(2, config.q_size, device=device) for _ in range(2))
    at = torch.tensor([3, 9], dtype=torch.int32, device=device)
    decode_attention(AttentionCall(config, rotation, qkv, at, views, y))
    decode_attention_reference(AttentionCall(config, rotation, qkv, at, copies, z))
    assert distance(y, z) < 2e-3


@pytest.mark.parametrize("name", [name for name in FAMILIES if name != "normed"])
@pytest.mark.parametrize(("window", "order"), [(None, 1), (9, 1), (None, 32)])
def test_prompts_of_unlike_lengths_see_only_themselves(
    device: torch.device, name: str, window: int | None, order: int
) -> None:
    config, lengths = config_of(name), [1, 65, 3, 20]
    starts = torch.tensor([0, *torch.tensor(lengths).cumsum(0)], dtype=torch.int32, device=device)
    qkv = qkv_of(config, sum(lengths), device)
    y, z = (poisoned(sum(lengths), config.q_size, device=device) for _ in range(2))
    layout = Prompts(starts, max(lengths))
    prompt_attention(config, qkv, layout, y, window, order)
    prompt_attention_reference(config, qkv, layout, z, window)
    z = interleaved(z, order)
    assert distance(y, z) < 2e-3


@pytest.mark.parametrize("name", [name for name in FAMILIES if name != "normed"])
def test_prompts_are_rotated_in_place_and_cached_at_their_places(device: torch.device, name: str) -> None:
    config = config_of(name)
    rotation = rotation_of(config, 16, device)
    slot_mapping = torch.tensor([[2, 0, 2, 1], [0, 15, 1, 7]], dtype=torch.int32, device=device)
    ours, theirs = (qkv_of(config, 4, device) for _ in range(2))
    found, wanted = cache_of(config, 3, 16, device), cache_of(config, 3, 16, device)
    rotate_prompts(config, rotation, ours, slot_mapping, found)
    rotate_prompts_reference(config, rotation, theirs, slot_mapping, wanted)
    assert distance(ours, theirs) < 1e-3
    assert distance(torch.stack(found), torch.stack(wanted)) < 1e-3


@pytest.mark.gpu
@pytest.mark.parametrize("rows", [1, 8, 164])
def test_decoding_at_the_batch_sizes_in_use(rows: int) -> None:
    device, config = torch.device("cuda"), config_of("groups-of-seven")
    config = replace(config, heads=14)
    rotation, qkv = rotation_of(config, 3000, device), qkv_of(config, rows, device)
    at = torch.randint(0, 3000, (rows,), dtype=torch.int32, device=device)
    cache = cache_of(config, rows, 3000, device)
    y, z = (poisoned(rows, config.q_size, device=device) for _ in range(2))
    scratch = Scratch.allocate(config, rows, 3000, device)
    decode_attention(AttentionCall(config, rotation, qkv, at, cache, y, None, scratch))
    decode_attention_reference(AttentionCall(config, rotation, qkv, at, cache, z))
    assert distance(y, z) < 2e-3
