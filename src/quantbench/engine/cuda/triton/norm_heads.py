"""RMS norms over all queries together and over all keys together, in place behind their product."""

import torch
from torch import Tensor

from quantbench.engine.config import ModelConfig
from quantbench.engine.cuda.triton.language import gdc_launch_dependents, gdc_wait, tl, triton
from quantbench.engine.cuda.triton.launch import dependent_launch, next_power_of_2, over


def norm_heads_reference(config: ModelConfig, qkv: Tensor, queries: Tensor, keys: Tensor) -> None:
    """qkv [tokens, q_size + 2 kv_size]; the norms' weights [q_size] and [kv_size]."""
    start = 0
    for weight in (queries, keys):
        part = qkv[:, start : start + len(weight)]
        x = part.float()
        scale = torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + config.norm_eps)
        part.copy_(x * scale * weight.float())
        start += len(weight)


@triton.jit
def _norm_heads(
    qkv, queries, keys, stride, eps, Q_SIZE: tl.constexpr, KV_SIZE: tl.constexpr, BLOCK: tl.constexpr,
    DEPENDENT: tl.constexpr,
):  # fmt: skip
    row, of_keys = tl.program_id(0).to(tl.int64), tl.program_id(1)
    i = tl.arange(0, BLOCK)
    if DEPENDENT:
        gdc_launch_dependents()
        gdc_wait()
    if of_keys == 0:
        at, weight_at, width = qkv + row * stride + i, queries + i, Q_SIZE
    else:
        at, weight_at, width = qkv + row * stride + Q_SIZE + i, keys + i, KV_SIZE
    inside = i < width
    x = tl.load(at, mask=inside, other=0.0).to(tl.float32)
    scale = tl.rsqrt(tl.sum(x * x, axis=0) / width + eps)
    y = x * scale * tl.load(weight_at, mask=inside, other=0.0).to(tl.float32)
    tl.store(at, y.to(qkv.dtype.element_ty), mask=inside)


def norm_heads(config: ModelConfig, qkv: Tensor, queries: Tensor, keys: Tensor) -> None:
    """`norm_heads_reference` on the device: one block a token and part, moves queries and keys twice."""
    block, dependent = next_power_of_2(config.q_size), dependent_launch(qkv.device)
    over(_norm_heads, (len(qkv), 2))(
        qkv,
        queries,
        keys,
        qkv.stride(0),
        config.norm_eps,
        Q_SIZE=config.q_size,
        KV_SIZE=config.kv_size,
        BLOCK=block,
        DEPENDENT=dependent,
        num_warps=min(16, max(1, block // 256)),
        launch_pdl=dependent,
    )
