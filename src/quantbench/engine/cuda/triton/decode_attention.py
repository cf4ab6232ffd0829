"""Attention of one new token a row over its cached keys and values; rotates and stores the new ones itself.

One block takes one key-value head of one row with all query heads that share it, for one chunk of the
context. Chunks have one fixed length, so a row's result depends on its own position alone. Contexts longer
than a chunk are combined by a second kernel.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from quantbench.engine.config import ModelConfig
from quantbench.engine.cuda.state import LayerCache
from quantbench.engine.cuda.triton.decode_kernels import attend_chunk, combine_chunks
from quantbench.engine.cuda.triton.interleave import NATURAL, interleaved
from quantbench.engine.cuda.triton.kv_cells import codes_number, has_conversions
from quantbench.engine.cuda.triton.launch import dependent_launch, next_power_of_2, over
from quantbench.engine.cuda.triton.rotate import (
    HeadRotation,
    keep_reference,
    read_reference,
    rotate_reference,
)
from quantbench.engine.cuda.triton.softmax import score_factors
from quantbench.engine.kv_format import format_in

CHUNK = 1024  # cached positions a block goes through: fixed, so that no sum depends on the batch
BLOCK, WARPS, STAGES = 32, 1, 3  # positions a round; how a block is compiled
WIDE_WARPS = 4  # of heads beyond 128 dimensions, whose sums one warp has no registers for


def chunks_of(capacity: int) -> int:
    """Chunks that a row of this capacity can have."""
    return -(-capacity // CHUNK)


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


@dataclass(frozen=True, slots=True)
class AttentionCall:
    """What attention of a decode step is given.

    qkv [rows, (heads + 2 kv_heads) * head_dim], not rotated; positions int32 [rows], of the new tokens;
    cache: of one layer; out [rows, heads * head_dim], in the `order` of what reads it; window: positions that
    are seen; scratch where the capacity is more than one chunk.
    """

    config: ModelConfig
    rotation: HeadRotation
    qkv: Tensor
    positions: Tensor
    cache: LayerCache
    out: Tensor
    window: int | None = None
    scratch: Scratch | None = None
    order: int = NATURAL


def decode_attention_reference(call: AttentionCall) -> None:
    """The new tokens' attention over their rows, into `out`; position p of every busy row's cache is written.

    Rows whose position is outside the capacity are left alone.
    """
    config, rotation, qkv, cache, window = call.config, call.rotation, call.qkv, call.cache, call.window
    heads, kv_heads, head_dim = config.heads, config.kv_heads, config.head_dim
    kv = format_in(cache[0].dtype)
    for row, position in enumerate(call.positions.tolist()):
        if not 0 <= position < cache[0].shape[2]:
            continue
        parts = qkv[row].view(-1, head_dim)
        queries, new = rotate_reference(config, rotation, parts[: heads + kv_heads], position)
        fed = torch.cat((new.to(qkv.dtype), parts[heads + kv_heads :]))
        keep_reference(fed, cache, (row, position), kv)
        first = 0 if window is None else max(0, position - window + 1)
        seen = slice(first, position + 1)
        grouped = queries.to(qkv.dtype).float().view(kv_heads, -1, head_dim)
        k, v = read_reference(cache, row, seen)
        scores = grouped @ k.transpose(1, 2) * head_dim**-0.5
        if (cap := config.attention_cap) is not None:
            scores = (scores / cap).tanh() * cap
        result = scores.softmax(-1) @ v
        call.out[row] = interleaved(result.reshape(-1), call.order).to(call.out.dtype)


def decode_attention(call: AttentionCall) -> None:
    """`decode_attention_reference` on the device.

    Reads each cached key and value once: 2 * kv_heads * head_dim activations or codes a position and row.
    """
    config, rotation, qkv, positions = call.config, call.rotation, call.qkv, call.positions
    out, window, scratch, order = call.out, call.window, call.scratch, call.order
    keys, values, *scales = call.cache
    key_scales, value_scales = scales or (keys, values)
    rows, capacity = len(positions), keys.shape[2]
    half = config.head_dim // 2
    chunks = chunks_of(capacity)
    dependent = dependent_launch(qkv.device)
    empty = scratch or Scratch(parts=out, extremes=out, totals=out)
    over(attend_chunk, (config.kv_heads, rows, chunks))(
        qkv, rotation.q_norm, rotation.k_norm, rotation.smoothing, rotation.cosines, rotation.sines,
        positions, keys, values, key_scales, value_scales, out, empty.parts, empty.extremes, empty.totals,
        capacity, window or 0, keys.stride(0), keys.stride(1),
        *score_factors(config.head_dim, config.attention_cap), config.norm_eps,
        HEADS=config.heads,
        KV_HEADS=config.kv_heads, GROUP=config.groups, HALF=half,
        PAD_GROUP=max(16, next_power_of_2(config.groups)), PAD_HALF=max(16, next_power_of_2(half)),
        PAD_DIM=max(16, next_power_of_2(config.head_dim)), CHUNK=CHUNK, SPLIT=chunks > 1,
        WINDOW=window is not None, NORM=rotation.q_norm is not None,
        SMOOTH=rotation.smoothing is not None, ORDER=order, BLOCK=BLOCK,
        CAP=config.attention_cap is not None, DEPENDENT=dependent, CODES=codes_number(keys.dtype),
        NATIVE=has_conversions(qkv.device),
        num_warps=WARPS if config.head_dim <= 128 else WIDE_WARPS, num_stages=STAGES, launch_pdl=dependent,
    )  # fmt: skip
    if scratch is not None:
        combine(config, positions, scratch, out, capacity, order)


def combine(
    config: ModelConfig, positions: Tensor, scratch: Scratch, out: Tensor, capacity: int, order: int
) -> None:
    """The results of rows from their chunks' sums, each divided by its total."""
    dependent = dependent_launch(out.device)
    over(combine_chunks, (config.heads, len(positions)))(
        positions, scratch.parts, scratch.extremes, scratch.totals, out, capacity, chunks_of(capacity),
        HEADS=config.heads, DIM=config.head_dim, PAD_DIM=next_power_of_2(config.head_dim), CHUNK=CHUNK,
        ORDER=order, DEPENDENT=dependent, num_warps=1, launch_pdl=dependent,
    )  # fmt: skip
