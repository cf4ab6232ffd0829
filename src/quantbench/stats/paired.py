"""Two methods on the same problems: only the problems that exactly one of them solves carry evidence.

Throughout, `b` counts the problems that the method solves and the baseline does not, `c` the reverse.
Nothing here is a claim that two methods are equal: what is not significantly different is only that.
"""

from collections.abc import Callable
from functools import cache
from math import comb, sqrt
from typing import TYPE_CHECKING

from quantbench.stats.interval import Interval, normal_quantile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BISECTIONS = 60  # halves a range of 2 below the resolution of a double


def mcnemar_exact(b: int, c: int) -> float:
    """Two-sided exact p-value of McNemar's test: b and c differ only by chance (a fair coin's sign test).

    1.0 without discordant problems. ValueError for a negative count.
    """
    if b < 0 or c < 0:
        raise ValueError(f"discordant counts cannot be negative: {b}, {c}")
    n = b + c
    tail = sum(comb(n, i) for i in range(min(b, c) + 1))
    return float(min(1.0, 2 * tail / 2**n))


def paired_difference_interval(b: int, c: int, n: int, confidence: float = 0.95) -> Interval:
    """Score interval of the difference (b - c) / n of two shares over the same n problems.

    Source: Tango 1998, Statistics in Medicine 17:891: all differences that the score test, with the
    discordant share estimated under each of them, does not reject. At difference 0 that test is McNemar's.
    ValueError unless 0 <= b, c and b + c <= n and n > 0.
    """
    if min(b, c) < 0 or b + c > n or n == 0:
        raise ValueError(f"{b} and {c} discordant of {n} problems is impossible")
    z = normal_quantile(confidence)
    estimate = (b - c) / n

    def score(difference: float) -> float:
        return _tango_score(b, c, n, difference)

    low = -1.0 if c == n else _bisect(lambda d: score(d) > z, -1.0, estimate)
    high = 1.0 if b == n else _bisect(lambda d: score(d) > -z, estimate, 1.0)
    return Interval(low, high)


def _tango_score(b: int, c: int, n: int, difference: float) -> float:
    """Standardised distance of the observed difference from `difference`; falls as `difference` grows."""
    linear = -b - c + (2 * n - b + c) * difference
    constant = -c * difference * (1 - difference)
    losing = (sqrt(max(0.0, linear**2 - 8 * n * constant)) - linear) / (4 * n)  # share of c, restricted
    variance = n * (2 * losing + difference * (1 - difference))
    deviation = b - c - n * difference
    if variance <= 0:
        return 0.0 if deviation == 0 else float("inf") if deviation > 0 else float("-inf")
    return float(deviation / sqrt(variance))


def _bisect(holds: Callable[[float], bool], low: float, high: float) -> float:
    """Where `holds`, true at `low` and false at `high`, changes."""
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        if holds(middle):
            low = middle
        else:
            high = middle
    return (low + high) / 2


def mcnemar_power(difference: float, discordance: float, n: int, alpha: float = 0.05) -> float:
    """Chance that the exact test rejects, when a share `discordance` of n problems changes its outcome.

    `difference` is the true change of the share solved, at most `discordance` in size. Exact: summed over
    every number of discordant problems and every split of them.
    """
    import numpy as np
    from scipy.special import bdtr, bdtrc, gammaln, xlog1py, xlogy  # scipy.stats takes a second to import

    if not 0 < discordance <= 1 or abs(difference) > discordance:
        raise ValueError(f"a difference of {difference} needs at least that discordance, not {discordance}")
    counts = np.arange(n + 1)
    ways = gammaln(n + 1) - gammaln(counts + 1) - gammaln(n - counts + 1)
    weights = np.exp(ways + xlogy(counts, discordance) + xlog1py(n - counts, -discordance))
    critical = _critical_counts(n, alpha)
    some = critical >= 0  # with fewer discordant problems nothing rejects
    counts, critical = counts[some], critical[some]
    gain = (discordance + abs(difference)) / (2 * discordance)
    rejected = bdtr(critical, counts, gain) + bdtrc(counts - critical - 1, counts, gain)
    return float(np.sum(weights[some] * rejected))


@cache
def _critical_counts(n: int, alpha: float) -> "NDArray[np.int64]":
    """For 0 to n discordant problems: the largest smaller count that still rejects; -1 if none does."""
    import numpy as np
    from scipy.special import bdtr

    critical = np.full(n + 1, -1)
    count = -1
    for discordant in range(n + 1):  # one more problem makes it larger by one at most
        if 2 * float(bdtr(count + 1, discordant, 0.5)) <= alpha:
            count += 1
        critical[discordant] = count
    return critical


def smallest_detectable_difference(
    n: int, discordance: float, power: float = 0.8, alpha: float = 0.05
) -> float | None:
    """The smallest true difference that the exact test finds with this power over n problems.

    `discordance` is the share of problems whose outcome changes; where the difference alone is larger, the
    discordance is the difference (every change in one direction). None when even a difference of 1 is missed.
    """
    if n < 1 or not 0 <= discordance <= 1:
        raise ValueError(f"no detectable difference for n = {n} and discordance = {discordance}")

    def missed(difference: float) -> bool:
        return mcnemar_power(difference, max(discordance, difference), n, alpha) < power

    if missed(1.0):
        return None
    low, high = 0.0, 1.0
    while high - low > 1e-4:
        middle = (low + high) / 2
        low, high = (middle, high) if missed(middle) else (low, middle)
    return high
