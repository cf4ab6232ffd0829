"""How sure a difference between processes is: Student's t on the noise that the run shows, or a stated bound.

With few processes the t test needs far more than the eye: one degree of freedom asks for 12.7 standard
errors. So a difference may also be proven by a bound on how much processes drift, as long as the run does
not show more. Both tests share the chance of a false claim, four fifths for t and one fifth for the bound.
"""

from dataclasses import dataclass
from math import hypot, sqrt

from quantbench.stats.interval import normal_quantile

# A convention: processes that time the same work differ by less than this standard deviation on any machine
# worth timing on (quiet GPUs: 0.3 to 1.5 %, CPUs: 1 to 3 %, CPUs that are shared with other work: 5 to 8 %).
# Where it is wrong, a run of two processes a method mostly shows it and the bound is dropped: simulated at 10
# to 25 %, at most 3.5 % of reports claim a difference that is not there.
DRIFT_BOUND = 0.08
T_SHARE = 0.8  # of the chance of a false claim
CERTAIN = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """What varies between two processes of one method, as a share of the time."""

    deviation: float | None  # standard deviation as the run shows it; None: it cannot know
    degrees: int
    repeat_error: float | None  # standard error of a process's median; None after single repetitions

    @property
    def observed(self) -> float | None:
        """Never less than the repetitions alone would make."""
        if self.deviation is None or self.degrees < 1:
            return None
        return max(self.deviation, self.repeat_error or 0.0)

    @property
    def bound(self) -> float | None:
        """What no process exceeds; None where the run shows more, or nothing about its repetitions."""
        if self.repeat_error is None or (self.observed or 0.0) > DRIFT_BOUND:
            return None
        return hypot(DRIFT_BOUND, self.repeat_error)


def difference_p(difference: float, weight: float, noise: Noise) -> float | None:
    """Two-sided p-value of a difference whose variance is `weight` times a process's; None: no test."""
    from scipy.special import ndtr, stdtr

    found = []
    scale = sqrt(weight)
    if noise.observed is not None:
        error = max(scale * noise.observed, CERTAIN)
        found.append(2 * float(stdtr(noise.degrees, -abs(difference) / error)) / T_SHARE)
    if noise.bound is not None:
        found.append(2 * float(ndtr(-abs(difference) / (scale * noise.bound))) / (1 - T_SHARE))
    return min(1.0, *found) if found else None


def difference_margin(weight: float, noise: Noise, alpha: float) -> float | None:
    """Half the width of the interval that goes with `difference_p`, which covers 1 - alpha."""
    from scipy.special import stdtrit

    found = []
    if noise.observed is not None:
        quantile = float(stdtrit(noise.degrees, 1 - T_SHARE * alpha / 2))
        found.append(quantile * sqrt(weight) * noise.observed)
    if noise.bound is not None:
        quantile = normal_quantile(1 - (1 - T_SHARE) * alpha)
        found.append(quantile * sqrt(weight) * noise.bound)
    return min(found) if found else None
