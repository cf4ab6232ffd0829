"""How small a difference several answers to each problem show, from the answers that were measured.

The scatter of a problem's difference has two parts: how far the methods' true rates differ from problem to
problem, which no further answer changes, and the chance of single answers, which n answers divide by n.
"""

from collections.abc import Sequence
from math import sqrt

from quantbench.stats.clustered import student_quantile

Counts = Sequence[tuple[int, int]]  # by problem: answers that passed, of how many


def detectable_with_answers(
    ones: Counts, others: Counts, answers: int, *, power: float = 0.8, alpha: float = 0.05
) -> float | None:
    """The smallest true difference of two pass@1 that a paired t test finds with `answers` to each problem.

    `ones` and `others` are two methods on the same problems, at least two answers each. Source: Miller 2024
    (arXiv:2411.00640), the sample size of paired questions with K answers solved for the difference, with
    quantiles of Student's t. None with fewer than two problems or no scatter; ValueError with one answer.
    """
    import numpy as np

    if any(total < 2 for _, total in (*ones, *others)):
        raise ValueError("the chance of a single answer is not known from one answer to a problem")
    if (problems := len(ones)) < 2:
        return None
    rates = [passed / total for passed, total in ones], [passed / total for passed, total in others]
    observed = float(np.var(np.subtract(*rates), ddof=1))
    chance = float(np.mean([_variance(*pair) for pair in zip(ones, others, strict=True)]))
    measured = float(np.mean([_variance(*pair, own=True) for pair in zip(ones, others, strict=True)]))
    scatter = max(0.0, observed - measured) + chance / answers
    if scatter == 0:
        return None
    quantiles = student_quantile(problems - 1, 1 - alpha) + student_quantile(problems - 1, 2 * power - 1)
    return quantiles * sqrt(scatter / problems)


def _variance(one: tuple[int, int], other: tuple[int, int], *, own: bool = False) -> float:
    """Unbiased, of the difference of one answer each; with `own`, of the means of all answers."""
    parts = [
        passed * (total - passed) / (total * (total - 1)) / (total if own else 1)
        for passed, total in (one, other)
    ]
    return sum(parts)
