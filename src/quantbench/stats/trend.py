"""An effect over several models: its mean, and its slope on another quantity.

Models are what was sampled: each gives one value (a summary measure), so that noise within a model and
scatter between models are both in the residuals. That is the mixed model's own estimate where all values
are about equally exact (Senn, Stevens and Chaturvedi 2000, Repeated measures in clinical trials).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

from quantbench.stats.clustered import student_quantile
from quantbench.stats.interval import Interval

FEWEST_FOR_MEAN, FEWEST_FOR_SLOPE = 2, 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Coefficient:
    """An estimate with Student's t: its 95 % interval and the p-value of no effect."""

    value: float
    interval: Interval
    p: float
    degrees: int


def mean_over(values: Sequence[float], confidence: float = 0.95) -> Coefficient | None:
    """The mean; None for fewer than two values, and where they do not scatter at all."""
    n = len(values)
    if n < FEWEST_FOR_MEAN:
        return None
    mean = sum(values) / n
    squares = sum((value - mean) ** 2 for value in values)
    return _coefficient(mean, sqrt(squares / (n - 1) / n), n - 1, confidence)


def slope_over(x: Sequence[float], y: Sequence[float], confidence: float = 0.95) -> Coefficient | None:
    """Least squares of y on x; None for fewer than four pairs, and where nothing scatters."""
    n = len(x)
    if n < FEWEST_FOR_SLOPE or len(y) != n:
        return None
    x_mean, y_mean = sum(x) / n, sum(y) / n
    spread = sum((one - x_mean) ** 2 for one in x)
    if spread <= 0:
        return None
    slope = sum((one - x_mean) * (other - y_mean) for one, other in zip(x, y, strict=True)) / spread
    residuals = (other - y_mean - slope * (one - x_mean) for one, other in zip(x, y, strict=True))
    error = sqrt(sum(residual**2 for residual in residuals) / (n - 2) / spread)
    return _coefficient(slope, error, n - 2, confidence)


def _coefficient(value: float, error: float, degrees: int, confidence: float) -> Coefficient | None:
    from scipy.special import stdtr  # scipy.stats takes half a second to import

    if error <= 0:
        return None
    margin = student_quantile(degrees, confidence) * error
    p = float(2 * stdtr(degrees, -abs(value) / error))
    return Coefficient(value=value, interval=Interval(value - margin, value + margin), p=p, degrees=degrees)
