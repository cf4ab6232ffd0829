"""Attention of one new token a row over its cached keys and values; rotates and stores the new ones itself.

One block takes one key-value head of one row with all query heads that share it, for one chunk of the
context. Chunks have one fixed length, so a row's result depends on its own position alone. Contexts longer
than a chunk are combined by a second kernel.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from quantbench.engine.config import ModelConfig
from quantbench.engine.cuda.triton.interleave import NATURAL, interleaved, place_of
from quantbench.engine.cuda.triton.language import gdc_launch_dependents, gdc_wait, tl, triton
from quantbench.engine.cuda.triton.launch import dependent_launch, next_power_of_2
from quantbench.engine.cuda.triton.prefetch import prefetch
from quantbench.engine.cuda.triton.rotate import HeadRotation, rotate_reference

CHUNK = 1024  # cached positions a block goes through
LOG2_E = 1.4426950408889634
BLOCK, WARPS, STAGES = 32, 1, 3  # positions a round; how a block is compiled


def chunks_of(capacity: int) -> int:
    """Chunks that a row of this capacity can have."""
    return -(-capacity // CHUNK)


def decode_attention_reference(
    config: ModelConfig,
    rotation: HeadRotation,
    qkv: Tensor,
    positions: Tensor,
    cache: tuple[Tensor, Tensor],
    out: Tensor,
    window: int | None = None,
    scratch: "Scratch | None" = None,
    order: int = NATURAL,
) -> None:
    """qkv [rows, (heads + 2 kv_heads) * head_dim], not rotated -> out [rows, heads * head_dim].

    cache: keys and values [rows, kv_heads, capacity, head_dim] of one layer; position p of every busy row is
    written. Rows whose position is outside the capacity are left alone. `order`: of what reads `out`.
    """
    heads, kv_heads, head_dim = config.heads, config.kv_heads, config.head_dim
    keys, values = cache
    for row, position in enumerate(positions.tolist()):
        if not 0 <= position < keys.shape[2]:
            continue
        parts = qkv[row].view(-1, head_dim)
        queries, new = rotate_reference(config, rotation, parts[: heads + kv_heads], position)
        keys[row, :, position] = new
        values[row, :, position] = parts[heads + kv_heads :]
        first = 0 if window is None else max(0, position - window + 1)
        seen = slice(first, position + 1)
        grouped = queries.to(keys.dtype).float().view(kv_heads, -1, head_dim)
        scores = grouped @ keys[row, :, seen].float().transpose(1, 2) * head_dim**-0.5
        result = scores.softmax(-1) @ values[row, :, seen].float()
        out[row] = interleaved(result.reshape(-1), order).to(out.dtype)


@triton.jit
def _rotated(at, norm, cos, sin, i, inside, span: tl.constexpr, eps, HALF: tl.constexpr, NORM: tl.constexpr):
    """The two halves of heads at `at` [.., HALF], normalised when asked, rotated; float32."""
    a = tl.load(at, mask=inside, other=0.0).to(tl.float32)
    b = tl.load(at + HALF, mask=inside, other=0.0).to(tl.float32)
    if NORM:
        scale = tl.rsqrt((tl.sum(a * a, axis=span) + tl.sum(b * b, axis=span)) / (2 * HALF) + eps)
        if span == 1:
            scale = scale[:, None]
        a = a * scale * tl.load(norm + i, mask=i < HALF, other=0.0).to(tl.float32)
        b = b * scale * tl.load(norm + HALF + i, mask=i < HALF, other=0.0).to(tl.float32)
    return a * cos - b * sin, b * cos + a * sin


@triton.jit
def _decode_attention(
    qkv, q_norm, k_norm, cosines, sines, positions, keys, values, out, parts, extremes, totals,
    capacity, window, row_stride, head_stride, scale, eps,
    HEADS: tl.constexpr, KV_HEADS: tl.constexpr, GROUP: tl.constexpr, HALF: tl.constexpr,
    PAD_GROUP: tl.constexpr, PAD_HALF: tl.constexpr, PAD_DIM: tl.constexpr, CHUNK: tl.constexpr,
    SPLIT: tl.constexpr, WINDOW: tl.constexpr, NORM: tl.constexpr, ORDER: tl.constexpr, BLOCK: tl.constexpr,
    DEPENDENT: tl.constexpr,
):  # fmt: skip
    head = tl.program_id(0)
    row = tl.program_id(1)
    chunk = tl.program_id(2)
    DIM: tl.constexpr = 2 * HALF
    if DEPENDENT:
        # cached keys and values do not depend on the kernel before; a stale position only misleads a hint
        ahead = tl.minimum(tl.maximum(tl.load(positions + row), 0), capacity) - chunk * CHUNK
        old = row.to(tl.int64) * row_stride + head * head_stride + chunk * CHUNK * DIM
        size = tl.minimum(ahead, CHUNK) * (DIM * 2)
        prefetch(keys + old, size, 1)
        prefetch(values + old, size, 1)
        gdc_launch_dependents()
        gdc_wait()
    position = tl.load(positions + row)
    first = 0
    if WINDOW:
        first = tl.maximum(position - window + 1, 0)
    begin = chunk * CHUNK
    newest = position // CHUNK == chunk
    if (position < 0) | (position >= capacity) | (begin > position):
        return
    g = tl.arange(0, PAD_GROUP)
    i = tl.arange(0, PAD_HALF)
    d = tl.arange(0, PAD_DIM)
    cos = tl.load(cosines + position * HALF + i, mask=i < HALF, other=0.0)
    sin = tl.load(sines + position * HALF + i, mask=i < HALF, other=0.0)
    source = qkv + row.to(tl.int64) * ((HEADS + 2 * KV_HEADS) * DIM)
    q_at = source + (head * GROUP + g)[:, None] * DIM + i[None, :]
    q_inside = (g < GROUP)[:, None] & (i < HALF)[None, :]
    q_a, q_b = _rotated(q_at, q_norm, cos[None, :], sin[None, :], i[None, :], q_inside, 1, eps, HALF, NORM)
    k_at = source + (HEADS + head) * DIM + i
    k_a, k_b = _rotated(k_at, k_norm, cos, sin, i, i < HALF, 0, eps, HALF, NORM)
    kind = keys.dtype.element_ty
    q_a, q_b, k_a, k_b = q_a.to(kind), q_b.to(kind), k_a.to(kind), k_b.to(kind)
    v = tl.load(source + (HEADS + KV_HEADS + head) * DIM + d, mask=d < DIM, other=0.0)
    base = row.to(tl.int64) * row_stride + head * head_stride
    new_at = base + position * DIM
    tl.store(keys + new_at + i, k_a, mask=newest & (i < HALF))
    tl.store(keys + new_at + HALF + i, k_b, mask=newest & (i < HALF))
    tl.store(values + new_at + d, v, mask=newest & (d < DIM))

    # the new position is taken from registers, the cached ones from memory; exponents are of two
    own = tl.sum(q_a.to(tl.float32) * k_a.to(tl.float32)[None, :], axis=1)
    own += tl.sum(q_b.to(tl.float32) * k_b.to(tl.float32)[None, :], axis=1)
    extreme = tl.where(newest, own * scale, float("-inf"))
    total = tl.where(newest, 1.0, 0.0) + tl.zeros((PAD_GROUP,), tl.float32)
    acc = tl.where(newest, 1.0, 0.0) * v.to(tl.float32)[None, :] + tl.zeros((PAD_GROUP, PAD_DIM), tl.float32)
    end = tl.minimum(position, begin + CHUNK)
    s = tl.arange(0, BLOCK)
    for at in range(tl.maximum(begin, first // BLOCK * BLOCK), end, BLOCK):
        seen = (at + s < end) & (at + s >= first)
        where = base + (at + s) * DIM
        k_inside = seen[None, :] & (i < HALF)[:, None]
        old_a = tl.load(keys + where[None, :] + i[:, None], mask=k_inside, other=0.0)
        old_b = tl.load(keys + where[None, :] + HALF + i[:, None], mask=k_inside, other=0.0)
        scores = tl.dot(q_a, old_a)
        scores = tl.dot(q_b, old_b, scores) * scale
        scores = tl.where(seen[None, :], scores, float("-inf"))
        highest = tl.maximum(extreme, tl.max(scores, axis=1))
        shrink = tl.exp2(extreme - highest)
        weights = tl.exp2(scores - highest[:, None])
        old_v = tl.load(
            values + where[:, None] + d[None, :], mask=seen[:, None] & (d < DIM)[None, :], other=0.0
        )
        total = total * shrink + tl.sum(weights, axis=1)
        acc = tl.dot(weights.to(kind), old_v, acc * shrink[:, None])
        extreme = highest

    heads = head * GROUP + g
    o_inside = (g < GROUP)[:, None] & (d < DIM)[None, :]
    if SPLIT:
        slot = (row * HEADS + heads) * tl.num_programs(2) + chunk
        tl.store(parts + slot[:, None] * DIM + d[None, :], acc, mask=o_inside)
        tl.store(extremes + slot, extreme, mask=g < GROUP)
        tl.store(totals + slot, total, mask=g < GROUP)
    else:
        if DIM % ORDER == 0:  # a head begins a run: places once for all heads
            o_at = out + (row * HEADS + heads)[:, None] * DIM + place_of(d, ORDER)[None, :]
        else:
            o_at = out + row * (HEADS * DIM) + place_of(heads[:, None] * DIM + d[None, :], ORDER)
        tl.store(o_at, (acc / total[:, None]).to(out.dtype.element_ty), mask=o_inside)


@triton.jit
def _combine(
    positions, parts, extremes, totals, out, capacity, chunks,
    HEADS: tl.constexpr, DIM: tl.constexpr, PAD_DIM: tl.constexpr, CHUNK: tl.constexpr, ORDER: tl.constexpr,
    DEPENDENT: tl.constexpr,
):  # fmt: skip
    head = tl.program_id(0)
    row = tl.program_id(1)
    if DEPENDENT:
        gdc_launch_dependents()
        gdc_wait()
    position = tl.load(positions + row)
    if (position < 0) | (position >= capacity):
        return
    d = tl.arange(0, PAD_DIM)
    highest = float("-inf")
    total = 0.0
    acc = tl.zeros((PAD_DIM,), tl.float32)
    newest = position // CHUNK
    for back in range(newest + 1):
        # newest first: it is never empty, so `highest` is finite from the first round on
        slot = (row * HEADS + head) * chunks + newest - back
        extreme = tl.load(extremes + slot)
        higher = tl.maximum(highest, extreme)
        shrink, weight = tl.exp2(highest - higher), tl.exp2(extreme - higher)
        total = total * shrink + tl.load(totals + slot) * weight
        acc = acc * shrink + tl.load(parts + slot * DIM + d, mask=d < DIM, other=0.0) * weight
        highest = higher
    at = out + row * (HEADS * DIM) + place_of(head * DIM + d, ORDER)
    tl.store(at, (acc / total).to(out.dtype.element_ty), mask=d < DIM)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scratch:
    """Float32 sums of chunks: parts [rows, heads, chunks, head_dim], extremes and totals without the last."""

    parts: Tensor
    extremes: Tensor
    totals: Tensor

    @classmethod
    def allocate(
        cls, config: ModelConfig, rows: int, capacity: int, device: torch.device
    ) -> "Scratch | None":
        """None when no row of this capacity has a second chunk."""
        chunks = chunks_of(capacity)
        if chunks == 1:
            return None
        shape = (rows, config.heads, chunks)
        parts, extremes, totals = (
            torch.empty(s, dtype=torch.float32, device=device)
            for s in ((*shape, config.head_dim), shape, shape)
        )
        return cls(parts=parts, extremes=extremes, totals=totals)


def decode_attention(
    config: ModelConfig,
    rotation: HeadRotation,
    qkv: Tensor,
    positions: Tensor,
    cache: tuple[Tensor, Tensor],
    out: Tensor,
    window: int | None = None,
    scratch: Scratch | None = None,
    order: int = NATURAL,
) -> None:
    """`decode_attention_reference` on the device; `scratch` where the capacity is more than one chunk.

    Reads each cached key and value once: 2 * kv_heads * head_dim activations a position and row.
    """
    keys, values = cache
    rows, capacity = len(positions), keys.shape[2]
    half = config.head_dim // 2
    chunks = chunks_of(capacity)
    dependent = dependent_launch(qkv.device)
    empty = scratch or Scratch(parts=out, extremes=out, totals=out)
    _decode_attention[(config.kv_heads, rows, chunks)](
        qkv, rotation.q_norm, rotation.k_norm, rotation.cosines, rotation.sines, positions, keys,
        values, out, empty.parts, empty.extremes, empty.totals, capacity, window or 0, keys.stride(0),
        keys.stride(1), config.head_dim**-0.5 * LOG2_E, config.norm_eps, HEADS=config.heads,
        KV_HEADS=config.kv_heads, GROUP=config.groups, HALF=half,
        PAD_GROUP=max(16, next_power_of_2(config.groups)), PAD_HALF=max(16, next_power_of_2(half)),
        PAD_DIM=max(16, next_power_of_2(config.head_dim)), CHUNK=CHUNK, SPLIT=chunks > 1,
        WINDOW=window is not None, NORM=rotation.q_norm is not None, ORDER=order, BLOCK=BLOCK,
        DEPENDENT=dependent, num_warps=WARPS, num_stages=STAGES, launch_pdl=dependent,
    )  # fmt: skip
    if scratch is not None:
        _combine[(config.heads, rows)](
            positions, scratch.parts, scratch.extremes, scratch.totals, out, capacity, chunks,
            HEADS=config.heads, DIM=config.head_dim, PAD_DIM=next_power_of_2(config.head_dim), CHUNK=CHUNK,
            ORDER=order, DEPENDENT=dependent, num_warps=1, launch_pdl=dependent,
        )  # fmt: skip
