"""Eight bits, symmetric, one scale per output channel: q = round(w / scale), scale = max|w| / 127."""

import torch
from torch import Tensor

from quantbench.weights.formats import Int8Weight
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
