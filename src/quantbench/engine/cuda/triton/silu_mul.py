"""The gated unit's product for prompts: activation(gate) * up over columns that one matrix product wrote."""

from torch import Tensor

from quantbench.engine.activations import ACTIVATIONS
from quantbench.engine.cuda.triton.activate import activated
from quantbench.engine.cuda.triton.language import tl, triton
from quantbench.engine.cuda.triton.launch import over


def silu_mul_reference(gate_up: Tensor, out: Tensor, activation: str = "silu") -> None:
    """gate_up [rows, 2 * width], gates first; out [rows, width]."""
    gate, up = gate_up.float().chunk(2, dim=-1)
    out.copy_(ACTIVATIONS[activation].apply(gate) * up)


@triton.jit
def _silu_mul(gate_up, out, width, ACT: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    i = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = i < width
    gate = tl.load(gate_up + row * 2 * width + i, mask=inside, other=0.0).to(tl.float32)
    up = tl.load(gate_up + row * 2 * width + width + i, mask=inside, other=0.0).to(tl.float32)
    tl.store(out + row * width + i, (activated(gate, ACT) * up).to(out.dtype.element_ty), mask=inside)


def silu_mul(gate_up: Tensor, out: Tensor, activation: str = "silu") -> None:
    """`silu_mul_reference` on the device: reads 2 and writes 1 activation an element."""
    rows, width = out.shape
    block = 1024
    over(_silu_mul, (rows, triton.cdiv(width, block)))(
        gate_up, out, width, ACT=ACTIVATIONS[activation].number, BLOCK=block, num_warps=4
    )  # fmt: skip


def activate_whole(
    whole: Tensor, out: Tensor, activation: str, factors: Tensor | None, *, gated: bool
) -> None:
    """What GATE and ACT make of a whole product, in a pass of its own."""
    if gated:
        silu_mul(whole, out, activation)
    else:
        out.copy_(ACTIVATIONS[activation].apply(whole))
    if factors is not None:
        out.mul_(factors[:, None])
