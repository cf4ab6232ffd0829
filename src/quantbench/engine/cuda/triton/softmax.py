"""The online softmax of attention kernels: one block of scores after another, exponents of two."""

from quantbench.engine.cuda.triton.language import tl, triton

LOG2_E = 1.4426950408889634  # joins the scale of scores: exp2 is one instruction, exp is two


@triton.jit
def softmax_step(scores, extreme, total):
    """Scores [rows, n] join a state [rows] -> (weights, what earlier sums shrink by, highest score, sum)."""
    highest = tl.maximum(extreme, tl.max(scores, axis=1))
    shrink = tl.exp2(extreme - highest)
    weights = tl.exp2(scores - highest[:, None])
    return weights, shrink, highest, total * shrink + tl.sum(weights, axis=1)
