"""The mean of paired differences that are not only -1, 0 and 1: rates over several completions a problem.

If two methods solve every problem equally often, each difference is as likely to have the other sign.
The test counts how many of all choices of signs move the sum at least as far from 0 as the observed one:
exact, and with one completion a problem the same as McNemar's.
"""

from collections.abc import Sequence
from math import sqrt

from quantbench.stats.clustered import student_quantile

LARGEST_SUM = 2_000_000  # of all sizes; above it the sums would not fit into reasonable memory


def sign_flip_test(differences: Sequence[int]) -> float:
    """Two-sided exact p-value of the sum of `differences` under random signs (Fisher 1935, section 21).

    Differences are whole numbers on a common scale. 1.0 without any that is not 0; ValueError when their
    sizes add up to more than `LARGEST_SUM`.
    """
    import numpy as np

    sizes = [abs(difference) for difference in differences if difference]
    reach = sum(sizes)
    if reach > LARGEST_SUM:
        raise ValueError(f"sizes that add up to {reach} are too large for the exact test")
    chances = np.zeros(2 * reach + 1)  # of every sum from -reach to reach
    chances[reach] = 1.0
    for size in sizes:
        chances = (np.roll(chances, size) + np.roll(chances, -size)) / 2
    observed = abs(sum(differences))
    if observed == 0:
        return 1.0
    tail = float(chances[reach + observed :].sum())
    return min(1.0, 2 * tail)


def detectable_mean_difference(
    differences: Sequence[float], power: float = 0.8, alpha: float = 0.05
) -> float | None:
    """The smallest true mean that a paired t test finds with this power, if differences scatter as these do.

    Lehr's approximation with quantiles of Student's t. None with fewer than two differences or no scatter.
    """
    import numpy as np

    n = len(differences)
    scatter = float(np.std(differences, ddof=1)) if n > 1 else 0.0
    if scatter == 0:
        return None
    quantiles = student_quantile(n - 1, 1 - alpha) + student_quantile(n - 1, 2 * power - 1)
    return quantiles * scatter / sqrt(n)
