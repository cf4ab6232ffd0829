"""Eight bits, symmetric: q = round(w / scale), scale = max|w| / 127 of an output channel or a group of it."""

import torch
from torch import Tensor

from quantbench.weights.formats import Int8GroupsWeight, Int8Weight
from quantbench.weights.quantizers.blocks import for_row_blocks, require_finite


def quantize_int8(name: str, weight: Tensor) -> Int8Weight:
    """Int8Weight of `weight` [out, in]; a row of zeros gets scale 1. ModelError for NaN or infinity."""
    q = torch.empty(weight.shape, dtype=torch.int8, device=weight.device)
    scale = torch.empty(weight.shape[0], dtype=torch.float32, device=weight.device)

    def work(rows: slice, block: Tensor) -> None:
        largest = block.abs().amax(dim=1)
        scale[rows] = torch.where(largest == 0, 1.0, largest / 127)
        q[rows] = (block / scale[rows, None]).round_().clamp_(-127, 127).to(torch.int8)

    for_row_blocks(weight, work)
    require_finite(name, weight, scale)
    return Int8Weight(q, scale)


def quantize_int8_groups(name: str, weight: Tensor, *, group_size: int) -> Int8GroupsWeight:
    """Int8GroupsWeight of `weight` [out, in], whose width `group_size` divides.

    Codes are those nearest under the scale as float16 holds it; zeros where that is 0. ModelError for NaN,
    infinity, or values that such a scale cannot reach.
    """
    out, columns = weight.shape
    q = torch.empty(weight.shape, dtype=torch.int8, device=weight.device)
    scale = torch.empty(out, columns // group_size, dtype=torch.float16, device=weight.device)

    def work(rows: slice, block: Tensor) -> None:
        groups = block.reshape(len(block), -1, group_size)
        scale[rows] = groups.abs().amax(dim=-1) / 127
        held = scale[rows].float()[..., None]
        nearest = torch.where(held == 0, 0.0, groups / held).round_().clamp_(-127, 127)
        q[rows] = nearest.reshape(block.shape).to(torch.int8)

    for_row_blocks(weight, work)
    require_finite(name, weight, scale)
    return Int8GroupsWeight(q, scale)
