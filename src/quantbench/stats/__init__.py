"""Statistics that say how sure a figure is; no model, no record and no text is known here.

Every interval names its source; a test holds its coverage or its known answer. numpy and scipy are
imported inside the functions that need them, so that importing this costs nothing.
"""

from quantbench.stats.interval import Interval, normal_quantile
from quantbench.stats.medians import median_interval
from quantbench.stats.paired import mcnemar_exact
from quantbench.stats.proportions import pass_at_k, wilson_interval

__all__ = [
    "Interval",
    "mcnemar_exact",
    "median_interval",
    "normal_quantile",
    "pass_at_k",
    "wilson_interval",
]
