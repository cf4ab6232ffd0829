"""Figures over tokens that come in clusters: a problem's tokens resemble each other, problems do not.

Treating 30,000 tokens of 164 problems as 30,000 independent values claims far too narrow intervals.
Here the problems are what is sampled: variances are sums over problems (Taylor linearisation, Cochran
1977, Sampling Techniques, 3rd ed., section 6.3), with Student's t for the number of problems. Nothing is
random, so that a report rendered again shows the same figures.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, exp, isfinite, log, sqrt
from typing import TYPE_CHECKING

from quantbench.stats.interval import Interval, normal_quantile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

FEWEST_CLUSTERS = 8


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its interval; None where there are too few clusters to know one."""

    value: float
    interval: Interval | None


def clustered_mean(clusters: Sequence[Sequence[float]], confidence: float = 0.95) -> Estimate:
    """Mean over all values of all clusters. ValueError without values."""
    sums, sizes = _sums_and_sizes(clusters)
    return ratio_of_sums(sums, sizes, confidence)


def ratio_of_sums(above: Sequence[float], below: Sequence[float], confidence: float = 0.95) -> Estimate:
    """sum(above) / sum(below), one pair a cluster: a mean or a share with clusters of unequal size."""
    value, error, clusters = _ratio_and_error(above, below)
    if clusters < FEWEST_CLUSTERS:
        return Estimate(value, None)
    half = student_quantile(clusters - 1, confidence) * error
    return Estimate(value, Interval(value - half, value + half))


def exponential_of_ratio(
    above: Sequence[float], below: Sequence[float], confidence: float = 0.95
) -> Estimate:
    """exp(sum(above) / sum(below)): perplexity from losses, ratio of perplexities from differences."""
    inner = ratio_of_sums(above, below, confidence)
    if inner.interval is None:
        return Estimate(exp(min(700.0, inner.value)), None)
    low, high = (exp(min(700.0, end)) for end in (inner.interval.low, inner.interval.high))
    return Estimate(exp(min(700.0, inner.value)), Interval(low, high))


def clustered_share(hits: Sequence[int], sizes: Sequence[int], confidence: float = 0.95) -> Estimate:
    """Share of hits among all tokens, within [0, 1]: symmetric in its logit, so it keeps near the ends."""
    value, error, clusters = _ratio_and_error(hits, sizes)
    if clusters < FEWEST_CLUSTERS:
        return Estimate(value, None)
    if not 0 < value < 1:
        return Estimate(value, _share_at_the_end(value, clusters, confidence))
    logit = log(value / (1 - value))
    half = student_quantile(clusters - 1, confidence) * error / (value * (1 - value))
    return Estimate(value, Interval(_logistic(logit - half), _logistic(logit + half)))


def clustered_quantile(
    clusters: Sequence[Sequence[float]], level: float, confidence: float = 0.95
) -> Estimate:
    """The value below which a share `level` of all values lies, e.g. 0.5 or 0.999.

    The interval inverts that of the share above it (Woodruff 1952, JASA 47:635), which is the exact binomial
    one of the effective number of values (Korn and Graubard 1998, Survey Methodology 24:193). Simulated with
    164 problems it covers 93 to 97 %, but only 87 % of 99.9th percentiles where single problems differ so
    much (a factor of 2.7 is one standard deviation) that a few of them hold the whole tail.
    """
    import numpy as np

    if not 0 < level < 1:
        raise ValueError(f"a quantile's level lies between 0 and 1, not {level}")
    arrays = [np.asarray(values, dtype=np.float64) for values in clusters if len(values)]
    if not arrays:
        raise ValueError("no values to take a quantile of")
    ordered = np.sort(np.concatenate(arrays))
    value = _value_at(ordered, level)
    if len(arrays) < FEWEST_CLUSTERS:
        return Estimate(value, None)
    above = [float(np.count_nonzero(values > value)) for values in arrays]
    sizes = [float(len(values)) for values in arrays]
    effective = _effective_values(above, sizes, 1 - level, confidence)
    low, high = _binomial_ends(effective * (1 - level), effective, confidence)
    return Estimate(value, Interval(_value_at(ordered, 1 - high), _value_at(ordered, 1 - low)))


def _effective_values(
    above: Sequence[float], sizes: Sequence[float], share: float, confidence: float
) -> float:
    """How many independent values would know the share above a quantile as well as these clusters do."""
    _, error, _ = _ratio_and_error(above, sizes)
    error = max(error, sqrt(share * (1 - share) / sum(sizes)))  # never better than independent values
    # A tail that sits in few problems is known only as well as so few problems know it.
    with_tail = sum(count > 0 for count in above)
    with_rest = sum(count < size for count, size in zip(above, sizes, strict=True))
    t = student_quantile(max(1, min(with_tail, with_rest) - 1), confidence)
    return share * (1 - share) / error**2 * (normal_quantile(confidence) / t) ** 2


def _binomial_ends(hits: float, trials: float, confidence: float) -> tuple[float, float]:
    """Clopper and Pearson's interval of a share, for counts that need not be whole."""
    from scipy.special import betaincinv

    tail = (1 - confidence) / 2
    low = float(betaincinv(hits, trials - hits + 1, tail)) if hits > 0 else 0.0
    high = float(betaincinv(hits + 1, trials - hits, 1 - tail)) if hits < trials else 1.0
    return low, high


def ratio_t_test(above: Sequence[float], below: Sequence[float]) -> float | None:
    """Two-sided p-value of sum(above) / sum(below) being 0, one pair a cluster: a paired t test.

    None with fewer clusters than an interval needs.
    """
    from scipy.special import stdtr

    value, error, clusters = _ratio_and_error(above, below)
    if clusters < FEWEST_CLUSTERS:
        return None
    if error == 0:
        return 1.0 if value == 0 else 0.0
    return float(2 * stdtr(clusters - 1, -abs(value / error)))


def student_quantile(degrees: int, confidence: float) -> float:
    """The t of a two-sided interval with so many degrees of freedom."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, (1 + confidence) / 2))


def _ratio_and_error(above: Sequence[float], below: Sequence[float]) -> tuple[float, float, int]:
    """The ratio of the sums, its standard error over clusters, and the number of clusters that count."""
    import numpy as np

    top = np.asarray(above, dtype=np.float64)
    bottom = np.asarray(below, dtype=np.float64)
    kept = bottom > 0
    top, bottom = top[kept], bottom[kept]
    clusters = len(bottom)
    if clusters == 0:
        raise ValueError("no values to average")
    value = float(top.sum() / bottom.sum())
    if clusters < 2 or not isfinite(value):
        return value, float("inf"), clusters
    residuals = top - value * bottom
    variance = clusters / (clusters - 1) * float(np.sum(residuals**2)) / float(bottom.sum()) ** 2
    return value, sqrt(variance), clusters


def _sums_and_sizes(clusters: Sequence[Sequence[float]]) -> tuple[list[float], list[float]]:
    return [float(sum(values)) for values in clusters], [float(len(values)) for values in clusters]


def _share_at_the_end(value: float, clusters: int, confidence: float) -> Interval:
    """No (or every) token of any cluster: the exact interval of as many independent clusters."""
    miss = 1 - ((1 - confidence) / 2) ** (1 / clusters)
    return Interval(0.0, miss) if value <= 0 else Interval(1 - miss, 1.0)


def _logistic(x: float) -> float:
    return 1 / (1 + exp(-x)) if x > -700 else 0.0


def _value_at(ordered: "Floats", level: float) -> float:
    """The smallest value with at least a share `level` of all values at or below it."""
    index = ceil(level * len(ordered)) - 1
    return float(ordered[min(max(index, 0), len(ordered) - 1)])
