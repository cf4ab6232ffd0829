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


def score_factors(head_dim: int, cap: float | None) -> tuple[float, float]:
    """What products of queries and keys are multiplied with, and what their soft cap is, for `capped`."""
    scale = head_dim**-0.5
    return (scale * LOG2_E, 0.0) if cap is None else (scale / cap, cap * LOG2_E)


@triton.jit
def capped(scores, cap, CAP: tl.constexpr):
    """cap * tanh(scores); the scores themselves without a cap."""
    if CAP:
        scores = (2 / (1 + tl.exp(-2 * scores)) - 1) * cap
    return scores
