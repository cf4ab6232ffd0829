"""Prompts: normalises (where the family does) and rotates queries and keys in place, and fills the cache.

Decoding does the same inside its attention; both read the same tables.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from quantbench.engine.config import ModelConfig
from quantbench.engine.cuda.state import LayerCache
from quantbench.engine.cuda.triton.kv_cells import as_read, coded, smoothed
from quantbench.engine.cuda.triton.language import tl, triton
from quantbench.engine.cuda.triton.launch import next_power_of_2, over
from quantbench.engine.kv_format import KV_CODES, decode, encode
from quantbench.engine.rope import Rope
from quantbench.settings import KvFormat


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadRotation:
    """What turns a layer's heads: tables float32 [positions, head_dim / 2], norms [head_dim] or None.

    `smoothing`, float32 [2, heads + kv_heads, head_dim] or None: see `engine.key_smoothing`.
    """

    cosines: Tensor
    sines: Tensor
    q_norm: Tensor | None = None
    k_norm: Tensor | None = None
    smoothing: Tensor | None = None


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
    """heads [heads + kv_heads, head_dim] of one token -> rotated, smoothed queries and keys, float32."""
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
    if rotation.smoothing is not None:
        turned = (turned - rotation.smoothing[0]) * rotation.smoothing[1]
    return turned[: config.heads], turned[config.heads :]


def rotate_prompts_reference(
    config: ModelConfig,
    rotation: HeadRotation,
    qkv: Tensor,
    slot_mapping: Tensor,
    cache: LayerCache | None,
    kv: KvFormat | None = None,
) -> None:
    """qkv [tokens, (heads + 2 kv_heads) * head_dim], turned in place.

    slot_mapping int32 [2, tokens]: row and position of each. cache: of one layer, held with `kv`, written
    at each token's place; not where the row is negative. With `kv` keys and values become what is read again.
    """
    turning = config.heads + config.kv_heads
    for token, (row, position) in enumerate(slot_mapping.t().tolist()):
        heads = qkv[token].view(-1, config.head_dim)
        heads[:turning] = torch.cat(rotate_reference(config, rotation, heads[:turning], position)).to(
            qkv.dtype
        )
        stored = cache if cache is not None and row >= 0 else None
        keep_reference(heads[config.heads :], stored, (row, position), kv)


def keep_reference(
    new: Tensor, cache: LayerCache | None, place: tuple[int, int], kv: KvFormat | None
) -> None:
    """new [2 kv_heads, head_dim], keys and values of a token, into a cache at its row and position if given.

    With `kv` they become what is read of them again.
    """
    held: tuple[Tensor, ...] = (new,)
    if kv is not None:
        held = encode(KV_CODES[kv], new)
        new.copy_(decode(*held))
    for number, tensor in enumerate(cache or ()):
        of_both, row = held[number // 2].chunk(2), place[0]
        tensor[row, :, place[1]] = of_both[number % 2]


def read_reference(cache: LayerCache, row: int, seen: slice) -> tuple[Tensor, Tensor]:
    """Keys and values of a row at some positions, float32 [kv_heads, positions, head_dim]."""
    keys, values, *scales = (tensor[row, :, seen] for tensor in cache)
    if not scales:
        return keys.float(), values.float()
    return decode(keys, scales[0]), decode(values, scales[1])


@triton.jit
def _turned(
    at, q_norm, k_norm, cosines, sines, position, h, i, turning, eps, HEADS: tl.constexpr,
    HALF: tl.constexpr, NORM: tl.constexpr,
):  # fmt: skip
    """Both halves of a token's queries and keys, normalised when asked, rotated; float32."""
    cos = tl.load(cosines + position * HALF + i, mask=i < HALF, other=0.0)
    sin = tl.load(sines + position * HALF + i, mask=i < HALF, other=0.0)
    a = tl.load(at, mask=turning, other=0.0).to(tl.float32)
    b = tl.load(at + HALF, mask=turning, other=0.0).to(tl.float32)
    if NORM:
        scale = tl.rsqrt((tl.sum(a * a, axis=1) + tl.sum(b * b, axis=1)) / (2 * HALF) + eps)[:, None]
        query = (h < HEADS) & (i < HALF)
        key = (h >= HEADS) & turning
        zero = h * 0
        low = tl.load(q_norm + i + zero, mask=query, other=0.0)
        low += tl.load(k_norm + i + zero, mask=key, other=0.0)
        high = tl.load(q_norm + HALF + i + zero, mask=query, other=0.0)
        high += tl.load(k_norm + HALF + i + zero, mask=key, other=0.0)
        a = a * scale * low.to(tl.float32)
        b = b * scale * high.to(tl.float32)
    return a * cos - b * sin, b * cos + a * sin


@triton.jit
def _keep(a, b, cells, scales, place, heads, i, HALF: tl.constexpr, CODES: tl.constexpr, CACHE: tl.constexpr):
    """Both halves of a token's keys or values into the cache, where `heads`; as they are read again."""
    kind = a.dtype
    inside = heads & (i < HALF)
    held_a, held_b = a, b
    if CODES != 0:
        held_a, held_b, scale = coded(a.to(tl.float32), b.to(tl.float32), 1, CODES)
        scale = scale[:, None]
        a, b = as_read(held_a, scale, kind, CODES), as_read(held_b, scale, kind, CODES)
        if CACHE:
            tl.store(scales + place // (2 * HALF), scale, mask=heads)
    if CACHE:
        tl.store(cells + place + i, held_a, mask=inside)
        tl.store(cells + place + HALF + i, held_b, mask=inside)
    return a, b


@triton.jit(do_not_specialize=["tokens"], do_not_specialize_on_alignment=["slot_mapping"])
def _rotate(
    qkv, q_norm, k_norm, smoothing, cosines, sines, slot_mapping, keys, values, key_scales, value_scales,
    tokens, row_stride, head_stride, eps, HEADS: tl.constexpr, KV_HEADS: tl.constexpr, HALF: tl.constexpr,
    PAD_HEADS: tl.constexpr, PAD_HALF: tl.constexpr, NORM: tl.constexpr, SMOOTH: tl.constexpr,
    CACHE: tl.constexpr, CODES: tl.constexpr,
):  # fmt: skip
    token = tl.program_id(0).to(tl.int64)
    DIM: tl.constexpr = 2 * HALF
    row = tl.load(slot_mapping + token).to(tl.int64)
    position = tl.load(slot_mapping + tokens + token)
    h, i = tl.arange(0, PAD_HEADS)[:, None], tl.arange(0, PAD_HALF)[None, :]
    turning = (h < HEADS + KV_HEADS) & (i < HALF)
    at = qkv + token * ((HEADS + 2 * KV_HEADS) * DIM) + h * DIM + i
    a, b = _turned(
        at, q_norm, k_norm, cosines, sines, position, h, i, turning, eps, HEADS, HALF, NORM
    )  # fmt: skip
    if SMOOTH:
        offset = smoothing + h * DIM + i
        a = smoothed(a, offset, turning, (HEADS + KV_HEADS) * DIM)
        b = smoothed(b, offset + HALF, turning, (HEADS + KV_HEADS) * DIM)
    kind = qkv.dtype.element_ty
    a, b = a.to(kind), b.to(kind)
    base = row * row_stride + position * DIM
    key = (h >= HEADS) & (h < HEADS + KV_HEADS)
    place = base + (h - HEADS) * head_stride
    k_a, k_b = _keep(a, b, keys, key_scales, place, key & (row >= 0), i, HALF, CODES, CACHE)
    tl.store(at, tl.where(key, k_a, a), mask=turning)
    tl.store(at + HALF, tl.where(key, k_b, b), mask=turning)
    if CACHE or CODES != 0:
        value = (h >= HEADS + KV_HEADS) & (h < HEADS + 2 * KV_HEADS)
        a = tl.load(at, mask=value & (i < HALF), other=0.0)
        b = tl.load(at + HALF, mask=value & (i < HALF), other=0.0)
        place = base + (h - HEADS - KV_HEADS) * head_stride
        a, b = _keep(a, b, values, value_scales, place, value & (row >= 0), i, HALF, CODES, CACHE)
        if CODES != 0:
            tl.store(at, a, mask=value & (i < HALF))
            tl.store(at + HALF, b, mask=value & (i < HALF))


def rotate_prompts(
    config: ModelConfig,
    rotation: HeadRotation,
    qkv: Tensor,
    slot_mapping: Tensor,
    cache: LayerCache | None,
    kv: KvFormat | None = None,
) -> None:
    """`rotate_prompts_reference` on the device: one block a token; moves qkv twice, keys and values once."""
    half = config.head_dim // 2
    keys, values, *scales = cache if cache is not None else (qkv, qkv)
    key_scales, value_scales = scales or (keys, values)
    over(_rotate, (len(qkv),))(
        qkv,
        rotation.q_norm,
        rotation.k_norm,
        rotation.smoothing,
        rotation.cosines,
        rotation.sines,
        slot_mapping,
        keys,
        values,
        key_scales,
        value_scales,
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
        SMOOTH=rotation.smoothing is not None,
        CACHE=cache is not None,
        CODES=0 if kv is None else KV_CODES[kv].number,
        num_warps=2,
    )
