"""Prompts: normalises (where the family does) and rotates queries and keys in place, and fills the cache.

Decoding does the same inside its attention; both read the same tables.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from quantbench.engine.config import ModelConfig
from quantbench.engine.cuda.triton.language import tl, triton
from quantbench.engine.cuda.triton.launch import next_power_of_2, over
from quantbench.engine.rope import Rope


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadRotation:
    """What turns a layer's heads: tables float32 [positions, head_dim / 2], norms [head_dim] or None."""

    cosines: Tensor
    sines: Tensor
    q_norm: Tensor | None = None
    k_norm: Tensor | None = None


Tables = Mapping[Rope, tuple[Tensor, Tensor]]  # cosines and sines, float32 [positions, head_dim / 2] each


def rotation_tables(config: ModelConfig, positions: int, device: torch.device) -> Tables:
    """Of each rotation that layers have, for positions 0 to positions - 1."""
    ropes = dict.fromkeys(config.ropes)
    return {rope: half_tables(rope, positions, device) for rope in ropes}


def prompt_tables(config: ModelConfig, tables: Tables, length: int) -> Tables:
    """Those of prompts of so many tokens: of all that are long, or the given ones of all others."""
    if not config.is_long(length):
        return tables
    found = dict(tables)
    for rope, (cosines, _) in tables.items():
        if rope.is_long(length):
            found[rope] = half_tables(rope.long, len(cosines), cosines.device)
    return found


def half_tables(rope: Rope, positions: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosines and sines float32 [positions, head_dim / 2]."""
    half = rope.head_dim // 2
    cosines, sines = (table[:, half:].contiguous().to(device) for table in rope.tables(positions))
    return cosines, sines


def rotate_reference(
    config: ModelConfig, rotation: HeadRotation, heads: Tensor, position: int
) -> tuple[Tensor, Tensor]:
    """heads [heads + kv_heads, head_dim] of one token -> rotated queries and keys, float32."""
    x = heads.float()
    if rotation.q_norm is not None and rotation.k_norm is not None:
        norms = torch.cat(
            (
                rotation.q_norm.float().expand(config.heads, -1),
                rotation.k_norm.float().expand(config.kv_heads, -1),
            )
        )
        x = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + config.norm_eps) * norms
    a, b = x.chunk(2, dim=-1)
    cos, sin = rotation.cosines[position], rotation.sines[position]
    turned = torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1)
    return turned[: config.heads], turned[config.heads :]


def rotate_prompts_reference(
    config: ModelConfig,
    rotation: HeadRotation,
    qkv: Tensor,
    slot_mapping: Tensor,
    cache: tuple[Tensor, Tensor] | None,
) -> None:
    """qkv [tokens, (heads + 2 kv_heads) * head_dim], turned in place.

    slot_mapping int32 [2, tokens]: each token's row and position. cache: keys and values [rows, kv_heads,
    capacity, head_dim] of one layer, written at each token's place; not where the row is negative.
    """
    turning = config.heads + config.kv_heads
    for token, (row, position) in enumerate(slot_mapping.t().tolist()):
        heads = qkv[token].view(-1, config.head_dim)
        heads[:turning] = torch.cat(rotate_reference(config, rotation, heads[:turning], position)).to(
            qkv.dtype
        )
        if cache is not None and row >= 0:
            cache[0][row, :, position] = heads[config.heads : turning]
            cache[1][row, :, position] = heads[turning:]


@triton.jit(do_not_specialize=["tokens"], do_not_specialize_on_alignment=["slot_mapping"])
def _rotate(
    qkv, q_norm, k_norm, cosines, sines, slot_mapping, keys, values, tokens, row_stride, head_stride, eps,
    HEADS: tl.constexpr, KV_HEADS: tl.constexpr, HALF: tl.constexpr, PAD_HEADS: tl.constexpr,
    PAD_HALF: tl.constexpr, NORM: tl.constexpr, CACHE: tl.constexpr,
):  # fmt: skip
    token = tl.program_id(0).to(tl.int64)
    DIM: tl.constexpr = 2 * HALF
    row = tl.load(slot_mapping + token).to(tl.int64)
    position = tl.load(slot_mapping + tokens + token)
    h, i = tl.arange(0, PAD_HEADS)[:, None], tl.arange(0, PAD_HALF)[None, :]
    turning = (h < HEADS + KV_HEADS) & (i < HALF)
    cos = tl.load(cosines + position * HALF + i, mask=i < HALF, other=0.0)
    sin = tl.load(sines + position * HALF + i, mask=i < HALF, other=0.0)
    at = qkv + token * ((HEADS + 2 * KV_HEADS) * DIM) + h * DIM + i
    a = tl.load(at, mask=turning, other=0.0).to(tl.float32)
    b = tl.load(at + HALF, mask=turning, other=0.0).to(tl.float32)
    if NORM:
        scale = tl.rsqrt((tl.sum(a * a, axis=1) + tl.sum(b * b, axis=1)) / DIM + eps)[:, None]
        query = (h < HEADS) & (i < HALF)
        key = (h >= HEADS) & turning
        zero = h * 0
        low = tl.load(q_norm + i + zero, mask=query, other=0.0)
        low += tl.load(k_norm + i + zero, mask=key, other=0.0)
        high = tl.load(q_norm + HALF + i + zero, mask=query, other=0.0)
        high += tl.load(k_norm + HALF + i + zero, mask=key, other=0.0)
        a = a * scale * low.to(tl.float32)
        b = b * scale * high.to(tl.float32)
    kind = qkv.dtype.element_ty
    turned_a, turned_b = (a * cos - b * sin).to(kind), (b * cos + a * sin).to(kind)
    tl.store(at, turned_a, mask=turning)
    tl.store(at + HALF, turned_b, mask=turning)
    if CACHE:
        key = (h >= HEADS) & turning & (row >= 0)
        place = row * row_stride + (h - HEADS) * head_stride + position * DIM + i
        tl.store(keys + place, turned_a, mask=key)
        tl.store(keys + place + HALF, turned_b, mask=key)
        value = (h >= HEADS + KV_HEADS) & (h < HEADS + 2 * KV_HEADS) & (i < HALF) & (row >= 0)
        place = row * row_stride + (h - HEADS - KV_HEADS) * head_stride + position * DIM + i
        tl.store(values + place, tl.load(at, mask=value), mask=value)
        tl.store(values + place + HALF, tl.load(at + HALF, mask=value), mask=value)


def rotate_prompts(
    config: ModelConfig,
    rotation: HeadRotation,
    qkv: Tensor,
    slot_mapping: Tensor,
    cache: tuple[Tensor, Tensor] | None,
) -> None:
    """`rotate_prompts_reference` on the device: one block a token; moves qkv twice, keys and values once."""
    half = config.head_dim // 2
    keys, values = cache if cache is not None else (qkv, qkv)
    over(_rotate, (len(qkv),))(
        qkv,
        rotation.q_norm,
        rotation.k_norm,
        rotation.cosines,
        rotation.sines,
        slot_mapping,
        keys,
        values,
        len(qkv),
        keys.stride(0),
        keys.stride(1) if cache is not None else 0,
        config.norm_eps,
        HEADS=config.heads,
        KV_HEADS=config.kv_heads,
        HALF=half,
        PAD_HEADS=next_power_of_2(config.heads + 2 * config.kv_heads),
        PAD_HALF=next_power_of_2(half),
        NORM=rotation.q_norm is not None,
        CACHE=cache is not None,
        num_warps=2,
    )
