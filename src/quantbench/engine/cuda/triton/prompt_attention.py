"""Causal attention within prompts of unlike lengths that lie one after another, without padding.

One block takes a run of one prompt's queries for one head and walks the keys before them. Keys and values
are read from the projections' output, not from the cache.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from quantbench.engine.config import ModelConfig
from quantbench.engine.cuda.triton.interleave import NATURAL, interleaved, place_of
from quantbench.engine.cuda.triton.language import tl, triton
from quantbench.engine.cuda.triton.launch import next_power_of_2, over
from quantbench.engine.cuda.triton.softmax import capped, score_factors, softmax_step


@dataclass(frozen=True, slots=True)
class Prompts:
    """Which tokens belong together: starts int32 [prompts + 1], each prompt's first token and the end."""

    starts: Tensor
    longest: int  # tokens
    queries: int = 64  # that a block takes: 64 or 128


def prompt_attention_reference(
    config: ModelConfig,
    qkv: Tensor,
    prompts: Prompts,
    out: Tensor,
    window: int | None = None,
    order: int = NATURAL,
) -> None:
    """qkv [tokens, (heads + 2 kv_heads) * head_dim], rotated; out [tokens, heads * head_dim] in `order`."""
    bounds = prompts.starts.tolist()
    for first, end in pairwise(bounds):
        if first == end:
            continue
        heads = qkv[first:end].view(end - first, -1, config.head_dim).transpose(0, 1).float()
        q, k, v = torch.split(heads, [config.heads, config.kv_heads, config.kv_heads])
        k, v = (x.repeat_interleave(config.groups, dim=0) for x in (k, v))
        back = torch.arange(end - first, device=qkv.device)
        distance = back[:, None] - back
        seen = (distance >= 0) & (distance < (window or end))
        scores = q @ k.transpose(1, 2) * config.head_dim**-0.5
        if (cap := config.attention_cap) is not None:
            scores = (scores / cap).tanh() * cap
        scores = scores.masked_fill(~seen, float("-inf"))
        result = (scores.softmax(-1) @ v).transpose(0, 1).reshape(end - first, -1)
        out[first:end] = interleaved(result, order).to(out.dtype)


@triton.jit(do_not_specialize_on_alignment=["starts"])
def _prompt_attention(
    qkv, starts, out, window, scale, cap,
    HEADS: tl.constexpr, KV_HEADS: tl.constexpr, DIM: tl.constexpr, PAD: tl.constexpr, WINDOW: tl.constexpr,
    ORDER: tl.constexpr, QUERIES: tl.constexpr, KEYS: tl.constexpr, CAP: tl.constexpr,
):  # fmt: skip
    # the last queries of a prompt have the most keys: they start first
    tile = tl.num_programs(0) - 1 - tl.program_id(0)
    head = tl.program_id(1)
    prompt = tl.program_id(2)
    first = tl.load(starts + prompt)
    length = tl.load(starts + prompt + 1) - first
    if tile * QUERIES >= length:
        return
    WIDTH: tl.constexpr = (HEADS + 2 * KV_HEADS) * DIM
    m, n, d = tile * QUERIES + tl.arange(0, QUERIES), tl.arange(0, KEYS), tl.arange(0, PAD)
    base = qkv + first.to(tl.int64) * WIDTH
    q_at = base + m[:, None].to(tl.int64) * WIDTH + head * DIM + d[None, :]
    q = tl.load(q_at, mask=(m < length)[:, None] & (d < DIM)[None, :], other=0.0)
    kv_head = head // (HEADS // KV_HEADS)
    k_base = base + (HEADS + kv_head) * DIM
    v_base = base + (HEADS + KV_HEADS + kv_head) * DIM
    extreme = tl.full((QUERIES,), float("-inf"), tl.float32)
    total = tl.zeros((QUERIES,), tl.float32)
    acc = tl.zeros((QUERIES, PAD), tl.float32)
    begin = tl.maximum(tile * QUERIES - window + 1, 0) // KEYS * KEYS if WINDOW else 0
    for at in range(begin, tl.minimum((tile + 1) * QUERIES, length), KEYS):
        place = (at + n).to(tl.int64) * WIDTH
        there = at + n < length
        k = tl.load(k_base + place[None, :] + d[:, None], mask=there[None, :] & (d < DIM)[:, None], other=0.0)
        seen = m[:, None] >= (at + n)[None, :]
        if WINDOW:
            seen = seen & (m[:, None] - (at + n)[None, :] < window)
        scores = tl.where(seen, capped(tl.dot(q, k) * scale, cap, CAP), -1.0e30)
        weights, shrink, extreme, total = softmax_step(scores, extreme, total)
        v = tl.load(v_base + place[:, None] + d[None, :], mask=there[:, None] & (d < DIM)[None, :], other=0.0)
        acc = tl.dot(weights.to(v.dtype), v, acc * shrink[:, None])
    o_at = out + (first + m)[:, None].to(tl.int64) * (HEADS * DIM) + place_of(head * DIM + d, ORDER)[None, :]
    result = (acc / total[:, None]).to(out.dtype.element_ty)
    tl.store(o_at, result, mask=(m < length)[:, None] & (d < DIM)[None, :])


def prompt_attention(
    config: ModelConfig,
    qkv: Tensor,
    prompts: Prompts,
    out: Tensor,
    window: int | None = None,
    order: int = NATURAL,
) -> None:
    """`prompt_attention_reference` on the device."""
    wide = config.head_dim > 128  # fewer queries and keys fit beside each other
    queries = 64 if wide else prompts.queries
    grid = (triton.cdiv(prompts.longest, queries), config.heads, len(prompts.starts) - 1)
    over(_prompt_attention, grid)(
        qkv,
        prompts.starts,
        out,
        window or 0,
        *score_factors(config.head_dim, config.attention_cap),
        HEADS=config.heads,
        KV_HEADS=config.kv_heads,
        DIM=config.head_dim,
        PAD=max(16, next_power_of_2(config.head_dim)),
        WINDOW=window is not None,
        ORDER=order,
        QUERIES=queries,
        KEYS=32 if wide else 64,
        CAP=config.attention_cap is not None,
        num_warps=8 if wide or queries == 128 else 4,
        num_stages=2 if wide else 3,
    )
