"""Rotated heads, changed so that keys lose less in 8 bits and scores stay what they were.

A vector that is the same for all keys of a head adds the same to all scores of a query, which a softmax does
not see; and what an element of the keys is divided by, the same element of the queries may be multiplied
with. Biases of keys are 20 times as large as all else in a key of Qwen2 and 2.5, and codes have one scale a
head, so keys lose most of their bits to them. What can be taken off is a bias's mean over the positions:
rotation turns it, so that is nearly all of it in pairs of elements that turn slowly, and nothing in those
that turn fast. The rest, and what differs from token to token, is made more alike by factors, powers of two.

Only codes of equal steps gain by factors; steps of fp8 grow with the element as it is.
"""

from dataclasses import replace

import torch
from torch import Tensor

from quantbench.engine.config import ModelConfig
from quantbench.engine.kv_format import KV_CODES
from quantbench.engine.parameters import LayerParameters, Parameters
from quantbench.engine.rope import Rope
from quantbench.settings import KvFormat

POSITIONS = 1024  # over which a mean is taken; what a context has beyond them is as exact
LEAST = 1e-12  # of squares
MOST_POWER = 4  # of factors: what 16-bit floats have to spare


def with_smoothing(parameters: Parameters, kv: KvFormat | None) -> Parameters:
    """The same model, whose layers know how to smooth keys where `kv` holds them in 8 bits."""
    wanted = kv is not None and is_smoothed(parameters)
    pairs = zip(parameters.layers, parameters.config.ropes, strict=True)
    layers = tuple(
        replace(layer, smoothing=smoothing_of(parameters.config, layer, rope, kv) if wanted else None)
        for layer, rope in pairs
    )
    return replace(parameters, layers=layers)


def is_smoothed(parameters: Parameters) -> bool:
    """Whether all layers have biases that stand in the keys as they are, in scores that nothing caps.

    A norm behind the biases scales them differently in every token; a cap does see what all scores share.
    """
    return parameters.config.attention_cap is None and all(
        layer.qkv.bias is not None and layer.k_norm is None and layer.norms.keys is None
        for layer in parameters.layers
    )


def smoothing_of(config: ModelConfig, layer: LayerParameters, rope: Rope, kv: KvFormat | None) -> Tensor:
    """Float32 [2, heads + kv_heads, head_dim]: a head becomes (head - first) * second. Queries have no first.

    Factors are what would make the pairs of a head equally large, to the power of 3/4, as powers of two.
    """
    assert layer.qkv.bias is not None
    keys = torch.arange(config.q_size, config.q_size + config.kv_size, device=layer.qkv.bias.device)
    shared, squares = (x.view(config.kv_heads, config.head_dim) for x in parts_of(layer, keys))
    offset = mean_rotated(shared, rope)
    factor = torch.ones_like(offset)
    if kv is KvFormat.INT8:
        low, high = (squares + shared.square() - offset.square()).chunk(2, dim=-1)
        roots = (low + high).clamp(min=LEAST).log2() * (3 / 8)
        powers = (roots - roots.mean(-1, keepdim=True)).round().clamp(-MOST_POWER, MOST_POWER)
        factor = torch.cat((powers, powers), dim=-1).exp2()
    of_queries = factor.repeat_interleave(config.groups, dim=0)
    offsets = torch.cat((torch.zeros_like(of_queries), offset))
    return torch.stack((offsets, torch.cat((of_queries, 1 / factor))))


def parts_of(layer: LayerParameters, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Of some outputs what all tokens share, and the mean square of the rest, float32 [len(rows)] each.

    The latter as if elements of normed states had nothing to do with each other.
    """
    values, norm, bias = layer.qkv.weight.dequantize(rows), layer.norms.before_attention, layer.qkv.bias
    shared = torch.zeros(len(rows), device=rows.device) if bias is None else bias[rows].float()
    if norm is None:
        return shared, values.square().sum(-1)
    if norm.bias is not None:
        shared = shared + values @ norm.bias.float()
    return shared, (values * norm.weight.float()).square().sum(-1)


def mean_rotated(x: Tensor, rope: Rope) -> Tensor:
    """The mean of keys [kv_heads, head_dim] that stand at each of POSITIONS."""
    cos, sin = (table.mean(0).to(x.device) for table in rope.tables(POSITIONS))
    return x * cos + x.roll(x.shape[-1] // 2, dims=-1) * sin


def kv_kernel(parameters: Parameters, kv: KvFormat | None) -> dict[str, str]:
    """For Decoder.kernels(): how the cache is held where it is not as activations."""
    if kv is None:
        return {}
    smoothed = parameters.layers[0].smoothing is not None
    return {"KV cache": KV_CODES[kv].shown + (", keys smoothed" if smoothed else "")}
