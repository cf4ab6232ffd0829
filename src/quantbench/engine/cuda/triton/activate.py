"""Activation functions inside other kernels, by their numbers in `engine.activations`."""

from quantbench.engine.cuda.triton.language import tl, triton


@triton.jit
def activated(x, ACT: tl.constexpr):
    """x float32; exponentials alone, which overflow to the right limits."""
    if ACT == 0:
        y = x / (1 + tl.exp(-x))
    elif ACT == 1:
        y = 0.5 * x * (1 + tl.erf(x * 0.7071067811865476))
    elif ACT == 2:
        y = x / (1 + tl.exp(-1.5957691216057308 * (x + 0.044715 * x * x * x)))
    else:
        y = tl.maximum(x, 0.0)
    return y
