"""Adds what a layer's half computed to the residual stream and normalises the sum, one block a row.

The products before it may come as several partial sums over slices of K: they are added here, always in
the same order, so that splitting K needs no atomics and stays deterministic.
"""

import torch
from torch import Tensor

from quantbench.engine.cuda.triton.interleave import NATURAL, interleaved, place_of
from quantbench.engine.cuda.triton.language import gdc_launch_dependents, gdc_wait, tl, triton
from quantbench.engine.cuda.triton.launch import dependent_launch, next_power_of_2, over


def add_norm_reference(
    residual: Tensor,
    added: tuple[Tensor | None, Tensor | None],
    weight: Tensor,
    eps: float,
    out: Tensor,
    order: int = NATURAL,
) -> None:
    """residual [rows, width] += sum of delta [splits, rows, width] + bias; out = its RMS norm * weight.

    added: delta and bias, either may be None. `order`: of what reads `out`.
    """
    delta, bias = added
    if delta is not None:
        residual += delta.float().sum(0)
    if bias is not None:
        residual += bias.float()
    scale = torch.rsqrt(residual.float().pow(2).mean(-1, keepdim=True) + eps)
    out.copy_(interleaved(residual.float() * scale * weight.float(), order))


@triton.jit(do_not_specialize=["rows"])
def _add_norm(
    residual,
    delta,
    bias,
    weight,
    out,
    rows,
    width,
    eps,
    SPLITS: tl.constexpr,
    BIAS: tl.constexpr,
    ORDER: tl.constexpr,
    BLOCK: tl.constexpr,
    DEPENDENT: tl.constexpr,
):
    row = tl.program_id(0)
    i = tl.arange(0, BLOCK)
    inside = i < width
    w = tl.load(weight + i, mask=inside, other=0.0).to(tl.float32)
    if DEPENDENT:
        gdc_launch_dependents()
        gdc_wait()
    at = row.to(tl.int64) * width + i
    x = tl.load(residual + at, mask=inside, other=0.0).to(tl.float32)
    for split in tl.static_range(SPLITS):
        part = delta + (row.to(tl.int64) + split * rows) * width + i
        x += tl.load(part, mask=inside, other=0.0).to(tl.float32)
    if BIAS:
        x += tl.load(bias + i, mask=inside, other=0.0).to(tl.float32)
    if SPLITS > 0:
        tl.store(residual + at, x, mask=inside)
    scale = tl.rsqrt(tl.sum(x * x, axis=0) / width + eps)
    place = row.to(tl.int64) * width + place_of(i, ORDER)
    tl.store(out + place, (x * scale * w).to(out.dtype.element_ty), mask=inside)


def add_norm(
    residual: Tensor,
    added: tuple[Tensor | None, Tensor | None],
    weight: Tensor,
    eps: float,
    out: Tensor,
    order: int = NATURAL,
) -> None:
    """`add_norm_reference` on the device.

    residual float32 or activations [rows, width]; delta float32 or activations [splits, rows, width];
    bias and weight [width]; out activations [rows, width]. Moves each of them once.
    """
    delta, bias = added
    rows, width = residual.shape
    block = next_power_of_2(width)
    dependent = dependent_launch(residual.device)
    over(_add_norm, (rows,))(
        residual,
        residual if delta is None else delta,
        bias,
        weight,
        out,
        rows,
        width,
        eps,
        SPLITS=0 if delta is None else delta.shape[0],
        BIAS=bias is not None,
        ORDER=order,
        BLOCK=block,
        DEPENDENT=dependent,
        num_warps=min(16, max(1, block // 256)),
        launch_pdl=dependent,
    )
