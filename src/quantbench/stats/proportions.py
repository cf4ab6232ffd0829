"""Shares of passed problems: one share with its interval, and pass@k from several completions.

Comparing two methods is not done here: their problems are the same ones, see `paired`.
"""

from math import comb, sqrt

from quantbench.stats.interval import Interval, normal_quantile


def wilson_interval(passed: int, total: int, confidence: float = 0.95) -> Interval:
    """Score interval of a binomial share, within [0, 1] (Wilson 1927, JASA 22:209).

    ValueError unless 0 <= passed <= total and total > 0.
    """
    if not 0 <= passed <= total or total == 0:
        raise ValueError(f"{passed} of {total} is no share")
    z = normal_quantile(confidence)
    share = passed / total
    shrink = 1 + z * z / total
    centre = (share + z * z / (2 * total)) / shrink
    half = z / shrink * sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    low = 0.0 if passed == 0 else max(0.0, centre - half)
    high = 1.0 if passed == total else min(1.0, centre + half)
    return Interval(low, high)


def pass_at_k(n: int, c: int, k: int) -> float:
    """Unbiased chance that one of k completions passes, when c of n did (Chen et al. 2021, arXiv:2107.03374).

    ValueError unless 0 <= c <= n and 1 <= k <= n.
    """
    if not 0 <= c <= n or not 1 <= k <= n:
        raise ValueError(f"pass@{k} of {c} passed among {n} is not defined")
    return 1.0 - comb(n - c, k) / comb(n, k)
