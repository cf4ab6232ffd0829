"""Adds what a layer's half computed to the states, in all the ways that families have; one block a row.

What is added may be normed and scaled first; norms may center (LayerNorm); what reads the states may have no
norm. Plain families take `add_norm`, which is this without choices.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from quantbench.engine.config import ModelConfig
from quantbench.engine.cuda.triton.interleave import NATURAL, interleaved, place_of
from quantbench.engine.cuda.triton.language import gdc_launch_dependents, gdc_wait, tl, triton
from quantbench.engine.cuda.triton.launch import dependent_launch, next_power_of_2, over
from quantbench.engine.parameters import Norm


@dataclass(frozen=True, slots=True)
class Added:
    """What is to be added to the states: the sum of `sums` [splits, rows, width] and `bias`, normed."""

    sums: Tensor
    bias: Tensor | None = None
    norm: Norm | None = None


def normed_reference(config: ModelConfig, x: Tensor, norm: Norm) -> Tensor:
    """float32 rows of x through a norm of the family's kind."""
    x = x.float()
    if config.centered_norms:
        x = x - x.mean(-1, keepdim=True)
    x = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + config.norm_eps) * norm.weight.float()
    return x if norm.bias is None else x + norm.bias.float()


def join_reference(
    config: ModelConfig,
    residual: Tensor,
    added: Added | None,
    norm: Norm | None,
    out: Tensor | None,
    order: int = NATURAL,
) -> None:
    """residual float32 [rows, width] += what is added; out = its norm, or itself without one, in `order`."""
    if added is not None:
        x = added.sums.float().sum(0)
        x = x if added.bias is None else x + added.bias.float()
        x = x if added.norm is None else normed_reference(config, x, added.norm)
        residual += x * config.residual_scale
    if out is not None:
        read = residual if norm is None else normed_reference(config, residual, norm)
        out.copy_(interleaved(read, order))


@triton.jit
def _normed(x, weight, shift, i, inside, width, eps, CENTERED: tl.constexpr, SHIFT: tl.constexpr):
    if CENTERED:
        x = tl.where(inside, x - tl.sum(x, axis=0) / width, 0.0)
    x = x * tl.rsqrt(tl.sum(x * x, axis=0) / width + eps)
    x = x * tl.load(weight + i, mask=inside, other=0.0).to(tl.float32)
    if SHIFT:
        x += tl.load(shift + i, mask=inside, other=0.0).to(tl.float32)
    return x


@triton.jit(do_not_specialize=["rows"])
def _join(
    residual, sums, bias, behind, behind_shift, weight, shift, out, rows, width, eps, scale,
    SPLITS: tl.constexpr, BIAS: tl.constexpr, BEHIND: tl.constexpr, WRITE: tl.constexpr, NORM: tl.constexpr,
    CENTERED: tl.constexpr, SHIFT: tl.constexpr, BEHIND_SHIFT: tl.constexpr, ORDER: tl.constexpr,
    BLOCK: tl.constexpr, DEPENDENT: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    i = tl.arange(0, BLOCK)
    inside = i < width
    if DEPENDENT:
        gdc_launch_dependents()
        gdc_wait()
    at = row * width + i
    x = tl.load(residual + at, mask=inside, other=0.0)
    if SPLITS > 0:
        more = tl.zeros((BLOCK,), tl.float32)
        for split in tl.static_range(SPLITS):
            part = sums + (row + split * rows) * width + i
            more += tl.load(part, mask=inside, other=0.0).to(tl.float32)
        if BIAS:
            more += tl.load(bias + i, mask=inside, other=0.0).to(tl.float32)
        if BEHIND:
            more = _normed(more, behind, behind_shift, i, inside, width, eps, CENTERED, BEHIND_SHIFT)
        x += more * scale
        tl.store(residual + at, x, mask=inside)
    if WRITE:
        if NORM:
            x = _normed(x, weight, shift, i, inside, width, eps, CENTERED, SHIFT)
        place = row * width + place_of(i, ORDER)
        tl.store(out + place, x.to(out.dtype.element_ty), mask=inside)


def join(
    config: ModelConfig,
    residual: Tensor,
    added: Added | None,
    norm: Norm | None,
    out: Tensor | None,
    order: int = NATURAL,
) -> None:
    """`join_reference` on the device; moves each tensor once."""
    rows, width = residual.shape
    block, dependent = next_power_of_2(width), dependent_launch(residual.device)
    behind = added.norm if added is not None else None
    over(_join, (rows,))(
        residual,
        residual if added is None else added.sums,
        None if added is None else added.bias,
        behind and behind.weight,
        behind and behind.bias,
        norm and norm.weight,
        norm and norm.bias,
        residual if out is None else out,
        rows,
        width,
        config.norm_eps,
        config.residual_scale,
        SPLITS=0 if added is None else added.sums.shape[0],
        BIAS=added is not None and added.bias is not None,
        BEHIND=behind is not None,
        WRITE=out is not None,
        NORM=norm is not None,
        CENTERED=config.centered_norms,
        SHIFT=norm is not None and norm.bias is not None,
        BEHIND_SHIFT=behind is not None and behind.bias is not None,
        ORDER=order,
        BLOCK=block,
        DEPENDENT=dependent,
        num_warps=min(16, max(1, block // 256)),
        launch_pdl=dependent,
    )
