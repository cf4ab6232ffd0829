"""Eight-bit floats (e4m3), a scale per output channel: the row's largest value becomes 448, the format's."""

import torch
from torch import Tensor

from quantbench.weights.formats import Float8Weight
from quantbench.weights.quantizers.blocks import for_row_blocks, require_finite

LARGEST = 448.0  # of e4m3


def quantize_float8(name: str, weight: Tensor, *, dynamic: bool) -> Float8Weight:
    """Float8Weight of `weight` [out, in]; a row of zeros gets scale 1. ModelError for NaN or infinity."""
    values = torch.empty(weight.shape, dtype=torch.float8_e4m3fn, device=weight.device)
    scale = torch.empty(len(weight), 1, dtype=torch.float32, device=weight.device)

    def work(rows: slice, block: Tensor) -> None:
        made, scales = rounded(block)
        values[rows], scale[rows] = made, scales

    for_row_blocks(weight, work)
    require_finite(name, weight, scale)
    return Float8Weight(values, scale, dynamic)


def rounded(x: Tensor) -> tuple[Tensor, Tensor]:
    """Rows x [n, in] as e4m3 and their scales float32 [n, 1]; what activations and weights both get."""
    largest = x.abs().amax(dim=1, keepdim=True).float()
    scale = torch.where(largest == 0, 1.0, largest / LARGEST)
    return (x.float() / scale).clamp(-LARGEST, LARGEST).to(torch.float8_e4m3fn), scale
