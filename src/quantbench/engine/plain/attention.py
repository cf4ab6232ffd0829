"""Attention of prompts and of single tokens over the key-value cache, in plain torch.

No row sees another, and no padding is computed: rows of unlike lengths are attended one by one in a prompt
pass, and masked by their own lengths in a token pass.
"""

from collections.abc import Sequence
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from quantbench.engine.config import ModelConfig
from quantbench.engine.kv_cache import KeyValueCache
from quantbench.engine.operations import HeadNorms, Rotation


def rms_norm(config: ModelConfig, x: Tensor, weight: Tensor) -> Tensor:
    """RMS norm of rows [tokens, n] or heads [..., n], times weight [n]."""
    return F.rms_norm(x, weight.shape, weight, config.norm_eps)


def rotated_heads(
    config: ModelConfig, projections: Tensor, norms: HeadNorms, cos: Tensor, sin: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Rotated queries and keys, and values, each [tokens, heads of its kind, head_dim].

    cos and sin [tokens, 1, head_dim] of each token's position. They are smoothed where a layer says so.
    """
    heads = projections.view(len(projections), -1, config.head_dim)
    turned, values = heads[:, : -config.kv_heads], heads[:, -config.kv_heads :]
    if norms.queries is not None and norms.keys is not None:
        queries, keys = turned[:, : config.heads], turned[:, config.heads :]
        turned = torch.cat(
            (rms_norm(config, queries, norms.queries), rms_norm(config, keys, norms.keys)), dim=1
        )
    turned = turned * cos + turned.roll(config.head_dim // 2, dims=-1) * sin
    if norms.smoothing is not None:
        offset, factor = norms.smoothing
        turned = ((turned - offset) * factor).to(turned.dtype)
    return turned[:, : config.heads], turned[:, config.heads :], values


class PromptAttention:
    """Causal attention within whole prompts that start at position 0, laid out one after another."""

    def __init__(
        self,
        config: ModelConfig,
        rotation: Rotation,
        lengths: Sequence[int],
        kv: KeyValueCache,
        rows: Sequence[int],
    ) -> None:
        """`rows[i]` is where prompt i goes in `kv`."""
        self._config = config
        self._lengths, self._windows = list(lengths), config.windows
        self._kv, self._rows = kv, rows
        self._tables = rotation.picked(
            lambda table: torch.cat([table[:length] for length in lengths])[:, None]
        )

    def __call__(self, layer: int, projections: Tensor, norms: HeadNorms) -> Tensor:
        flat = rotated_heads(self._config, projections, norms, *self._tables(layer))
        outputs = []
        parts = zip(*(torch.split(tensor, self._lengths) for tensor in flat), strict=True)
        for number, part in enumerate(parts):
            query, key, value = (tensor.transpose(0, 1) for tensor in part)
            place = (self._rows[number], slice(None), slice(self._lengths[number]))
            key, value = self._kv.put(layer, place, key, value)
            outputs.append(
                causal_attention(query, key, value, self._windows[layer], self._config.attention_cap)
            )
        return torch.cat(outputs) if len(outputs) > 1 else outputs[0]


def causal_attention(
    query: Tensor, key: Tensor, value: Tensor, window: int | None, cap: float | None = None
) -> Tensor:
    """query [heads, length, head_dim], key and value [kv_heads, ...] -> [length, heads * head_dim]."""
    length = query.shape[1]
    causal = cap is None and (window is None or length <= window)
    mask = None if causal else _band(length, window or length, query.device)
    out = attend(query[None], key[None], value[None], mask, cap, causal=causal)
    return out[0].transpose(0, 1).reshape(length, -1)


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    cap: float | None,
    *,
    causal: bool = False,
) -> Tensor:
    """Attention [rows, heads, queries, head_dim] over [rows, kv_heads, keys, head_dim] where `mask` is true.

    With `cap` scores are capped softly; it takes a mask, never `causal`.
    """
    if cap is None:
        return F.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, is_causal=causal, enable_gqa=True
        )
    shared = query.shape[1] // key.shape[1]
    keys, values = (t.repeat_interleave(shared, dim=1) for t in (key, value))
    scores = soft_cap(query @ keys.transpose(-1, -2) * query.shape[-1] ** -0.5, cap)
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return scores.float().softmax(-1).to(value.dtype) @ values


def soft_cap(x: Tensor, cap: float) -> Tensor:
    """cap * tanh(x / cap)."""
    return (x / cap).tanh() * cap


def _band(length: int, window: int, device: torch.device) -> Tensor:
    """bool [length, length]: whether the token of a row sees that of a column."""
    distance = torch.arange(length, device=device)[:, None] - torch.arange(length, device=device)
    return (distance >= 0) & (distance < window)


class ContinuationAttention:
    """Attention of several new tokens a row over everything before each of them; see `Operations`."""

    def __init__(
        self,
        config: ModelConfig,
        kv: KeyValueCache,
        rotation: Rotation,
        spans: Sequence[range],
        rows: Sequence[int],
    ) -> None:
        self._config, self._kv, self._windows = config, kv, config.windows
        self._spans, self._rows = spans, rows
        self._tables = rotation.picked(
            lambda table: torch.cat([table[span.start : span.stop] for span in spans])[:, None]
        )

    def __call__(self, layer: int, projections: Tensor, norms: HeadNorms) -> Tensor:
        flat = rotated_heads(self._config, projections, norms, *self._tables(layer))
        lengths = [len(span) for span in self._spans]
        parts = zip(*(torch.split(tensor, lengths) for tensor in flat), strict=True)
        outputs = []
        for span, row, part in zip(self._spans, self._rows, parts, strict=True):
            query, key, value = (tensor.transpose(0, 1) for tensor in part)
            self._kv.put(layer, (row, slice(None), slice(span.start, span.stop)), key, value)
            seen, read = self._kv.read(
                layer, (slice(row, row + 1), slice(None), slice(span.stop)), query.dtype
            )
            mask = _band(span.stop, self._windows[layer] or span.stop, query.device)[span.start :]
            out = attend(query[None], seen, read, mask, self._config.attention_cap)
            outputs.append(out[0].transpose(0, 1).reshape(len(span), -1))
        return torch.cat(outputs)


class TokenAttention:
    """Attention of one new token a row over everything before it and itself."""

    def __init__(
        self,
        config: ModelConfig,
        kv: KeyValueCache,
        rotation: Rotation,
        positions: Tensor,
        longest: int,
        uniform: bool,
    ) -> None:
        """Row i's new token stands at `positions[i]`, behind that many tokens in row i of the cache."""
        self._config, self._kv = config, kv
        self._positions = positions
        at = positions.clone()  # which the caller moves on
        self._tables = rotation.picked(lambda table: table[at][:, None])
        self._rows = torch.arange(len(positions), device=positions.device)
        self._longest, self._uniform = longest + 1, uniform
        self._mask = cache(self._make_mask)

    def __call__(self, layer: int, projections: Tensor, norms: HeadNorms) -> Tensor:
        queries, keys, values = rotated_heads(self._config, projections, norms, *self._tables(layer))
        count, config = len(projections), self._config
        self._write(layer, keys, values)
        # query heads that share keys stand as the rows of one small attention: nothing is repeated
        out = attend(
            queries.view(count, config.kv_heads, config.groups, config.head_dim),
            *self._kv.read(layer, (slice(count), slice(None), slice(self._longest)), queries.dtype),
            self._mask(config.windows[layer]),
            config.attention_cap,
        )
        return out.reshape(count, config.q_size)

    def _write(self, layer: int, keys: Tensor, values: Tensor) -> None:
        place = (slice(len(keys)), slice(None), self._longest - 1)
        ragged = (self._rows, slice(None), self._positions)
        self._kv.put(layer, place if self._uniform else ragged, keys, values)

    def _make_mask(self, window: int | None) -> Tensor | None:
        """bool [rows, 1, 1, longest], or None where every row sees every position."""
        if self._uniform and (window is None or window >= self._longest):
            return None
        places = torch.arange(self._longest, device=self._positions.device)
        behind = self._positions[:, None] - places
        seen = behind >= 0 if window is None else (behind >= 0) & (behind < window)
        return seen[:, None, None, :]
