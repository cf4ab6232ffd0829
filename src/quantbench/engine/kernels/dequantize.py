"""A whole packed matrix as activations, for prompts: cuBLAS multiplies it, and the buffer is used again.

With thousands of tokens the product takes a hundred times longer than this pass.
"""

from torch import Tensor

from quantbench.engine.kernels.layout import PackedWeight
from quantbench.engine.kernels.linear_many import scheme_of
from quantbench.engine.kernels.triton_or_not import tl, triton
from quantbench.engine.kernels.unpack import INT4, scale_and_zero


def dequantize_reference(weight: PackedWeight, out: Tensor) -> None:
    """out [rows, in] in activations."""
    out.copy_(weight.dequantize())


@triton.jit
def _dequantize(
    w, scale, out, width, w_stride, SCHEME: tl.constexpr, GROUP: tl.constexpr, BLOCK: tl.constexpr
):
    row = tl.program_id(0).to(tl.int64)
    i = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    if SCHEME == INT4:
        # i counts bytes; each gives two inputs half a group apart
        HALF: tl.constexpr = GROUP // 2
        inside = i < width // 2
        byte = tl.load(w + row * w_stride + i, mask=inside, other=0).to(tl.int32)
        group = i // HALF
        words = scale + row * (w_stride // 4) + width // 8
        factor, zero = scale_and_zero(tl.load(words + group, mask=inside, other=0))
        at = out + row * width + group * GROUP + i % HALF
        low = ((byte & 15) - 8).to(tl.float32) * factor.to(tl.float32) + zero.to(tl.float32)
        high = ((byte >> 4) - 8).to(tl.float32) * factor.to(tl.float32) + zero.to(tl.float32)
        tl.store(at, low.to(out.dtype.element_ty), mask=inside)
        tl.store(at + HALF, high.to(out.dtype.element_ty), mask=inside)
    else:
        inside = i < width
        x = tl.load(w + row * w_stride + i, mask=inside, other=0).to(tl.float32) * tl.load(scale + row)
        tl.store(out + row * width + i, x.to(out.dtype.element_ty), mask=inside)


def dequantize(weight: PackedWeight, out: Tensor) -> None:
    """`dequantize_reference` on the device, for 8-bit and 4-bit weights."""
    scheme, group, data, scale, stride = scheme_of(weight)
    rows, width = out.shape
    block = 1024
    _dequantize[(rows, triton.cdiv(width, block))](
        data, scale, out, width, stride, SCHEME=scheme, GROUP=group, BLOCK=block, num_warps=4
    )
