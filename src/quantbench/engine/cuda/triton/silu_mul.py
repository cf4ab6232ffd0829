"""The gated unit's product for prompts: silu(gate) * up over columns that one matrix product wrote."""

import torch
from torch import Tensor

from quantbench.engine.cuda.triton.language import tl, triton
from quantbench.engine.cuda.triton.launch import over


def silu_mul_reference(gate_up: Tensor, out: Tensor) -> None:
    """gate_up [rows, 2 * width], gates first; out [rows, width]."""
    gate, up = gate_up.float().chunk(2, dim=-1)
    out.copy_(torch.nn.functional.silu(gate) * up)


@triton.jit
def _silu_mul(gate_up, out, width, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    i = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = i < width
    gate = tl.load(gate_up + row * 2 * width + i, mask=inside, other=0.0).to(tl.float32)
    up = tl.load(gate_up + row * 2 * width + width + i, mask=inside, other=0.0).to(tl.float32)
    tl.store(out + row * width + i, (gate / (1 + tl.exp(-gate)) * up).to(out.dtype.element_ty), mask=inside)


def silu_mul(gate_up: Tensor, out: Tensor) -> None:
    """`silu_mul_reference` on the device: reads 2 and writes 1 activation an element."""
    rows, width = out.shape
    block = 1024
    over(_silu_mul, (rows, triton.cdiv(width, block)))(gate_up, out, width, BLOCK=block, num_warps=4)
