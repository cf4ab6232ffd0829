"""Medians of repeated timings: intervals that assume no distribution.

Timings have long right tails, so means and standard errors are not used for them.
"""

from collections.abc import Sequence
from math import comb

from quantbench.stats.interval import Interval, normal_quantile


def median_interval(values: Sequence[float], confidence: float = 0.95) -> Interval | None:
    """Interval of the median from order statistics, interpolated between the two nearest coverages.

    Source: Hettmansperger and Sheather 1986, Statistics & Probability Letters 4:75. The values must be
    independent. None when there are too few values for the confidence (fewer than 6 for 0.95): even the
    smallest and the largest value together do not cover it.
    """
    normal_quantile(confidence)
    ordered = sorted(values)
    n = len(ordered)
    if n < 2 or _coverage(n, 0) < confidence:
        return None
    outer = max(d for d in range((n + 1) // 2) if _coverage(n, d) >= confidence)
    wide = _coverage(n, outer)
    narrow = _coverage(n, outer + 1)
    part = (wide - confidence) / (wide - narrow)
    # The weight makes the interpolated interval's coverage nearly exact for symmetric distributions.
    weight = (n - outer - 1) * part / (outer + 1 + (n - 2 * outer - 2) * part)
    inner = min(outer + 1, n - 1)
    low = (1 - weight) * ordered[outer] + weight * ordered[inner]
    high = (1 - weight) * ordered[n - 1 - outer] + weight * ordered[n - 1 - inner]
    return Interval(min(low, high), max(low, high))


def _coverage(n: int, depth: int) -> float:
    """Chance that the median lies between the values number depth + 1 from below and from above."""
    if 2 * depth >= n:
        return 0.0
    tail = sum(comb(n, i) for i in range(depth + 1)) / 2**n
    return float(max(0.0, 1.0 - 2.0 * tail))
