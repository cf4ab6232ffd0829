"""One decode step in plain torch, float32, from the kernels' own layout: what every step kernel must compute.

Slow and without shortcuts; it dequantizes each matrix on use. For tests and for measuring a kernel's error.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from quantbench.decoding import NO_TOKEN
from quantbench.engine.activations import ACTIVATIONS
from quantbench.engine.cuda.state import StepState
from quantbench.engine.cuda.triton.rotate import keep_reference, read_reference
from quantbench.engine.kv_format import format_in
from quantbench.engine.parameters import LayerParameters, Matrix, Parameters


def reference_step(model: Parameters, state: StepState) -> Tensor:
    """Do to `state` what StepState says a step does; float32 logits [rows, vocab_size] of all rows.

    Keys and values are what the cache holds of them, everything else stays float32. An idle row is computed
    as if it stood at position 0.
    """
    config = model.config
    positions = state.positions.long()
    busy = (positions >= 0) & (positions < state.capacity)
    at = torch.where(busy, positions, 0)
    known = (state.tokens >= 0) & (state.tokens < config.vocab_size)
    x = model.embedding.weight.dequantize(torch.where(known, state.tokens, 0).long())
    for number, layer in enumerate(model.layers):
        heads = _heads(model, layer, _norm(model, x, layer.input_norm), at)
        joined = torch.stack(
            [_attend(model, state, number, b, heads[b], int(at[b]), bool(busy[b])) for b in range(len(x))]
        )
        x = x + _linear(joined, layer.output)
        gate, up = _linear(_norm(model, x, layer.post_norm), layer.gate_up).chunk(2, dim=-1)
        x = x + _linear(ACTIVATIONS[config.activation].apply(gate) * up, layer.down)
    logits = _linear(_norm(model, x, model.norm), model.head)
    if state.logits is not None:
        state.logits.copy_(logits)
    else:
        greatest, chosen = logits.max(dim=-1)
        _advance(state, torch.where(greatest.isfinite(), chosen, NO_TOKEN).int(), busy)
    return logits


def _advance(state: StepState, chosen: Tensor, busy: Tensor) -> None:
    for b in busy.nonzero().flatten().tolist():
        state.tokens[b] = chosen[b]
        state.positions[b] += 1
        if int(state.positions[b]) < state.capacity:
            state.output[b, int(state.positions[b])] = chosen[b]


def _linear(x: Tensor, matrix: Matrix) -> Tensor:
    return F.linear(x, matrix.weight.dequantize(), None if matrix.bias is None else matrix.bias.float())


def _norm(model: Parameters, x: Tensor, weight: Tensor) -> Tensor:
    return F.rms_norm(x, weight.shape, weight.float(), model.config.norm_eps)


def _heads(model: Parameters, layer: LayerParameters, x: Tensor, at: Tensor) -> Tensor:
    """Queries, keys and values of the new tokens [rows, heads + 2 kv_heads, head_dim], normed and rotated."""
    config = model.config
    heads = _linear(x, layer.qkv).view(len(x), -1, config.head_dim)
    queries, keys, values = torch.split(heads, [config.heads, config.kv_heads, config.kv_heads], dim=1)
    if layer.q_norm is not None and layer.k_norm is not None:
        queries, keys = _norm(model, queries, layer.q_norm), _norm(model, keys, layer.k_norm)
    turned = torch.cat((queries, keys), dim=1)
    angles = at[:, None].float() * config.rope.inverse_frequencies().to(at.device)
    cos, sin = ((f(angles) * config.rope.attention_factor)[:, None] for f in (torch.cos, torch.sin))
    low, high = turned.chunk(2, dim=-1)
    turned = torch.cat((low * cos - high * sin, high * cos + low * sin), dim=-1)
    if layer.smoothing is not None:
        turned = (turned - layer.smoothing[0]) * layer.smoothing[1]
    return torch.cat((turned, values), dim=1)


def _attend(
    model: Parameters, state: StepState, layer: int, b: int, heads: Tensor, at: int, busy: bool
) -> Tensor:
    """One row's attention [heads * head_dim]; a busy row's key and value go into the cache."""
    config = model.config
    query, new = heads[: config.heads], heads[config.heads :].to(model.dtype)
    cache = state.layer_cache(layer)
    keep_reference(new, cache if busy else None, (b, at), format_in(state.keys.dtype))
    key, value = new.float().chunk(2)
    window = config.windows[layer]
    first = 0 if window is None else max(0, at + 1 - window)
    old_keys, old_values = read_reference(cache, b, slice(first, at))
    keys = torch.cat((old_keys, key[:, None]), dim=1)
    values = torch.cat((old_values, value[:, None]), dim=1)
    out = F.scaled_dot_product_attention(query[None, :, None], keys[None], values[None], enable_gqa=True)
    return out.flatten()
