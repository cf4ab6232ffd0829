"""Statistics that say how sure a figure is; no model, no record and no text is known here.

Every interval names its source; a test holds its coverage or its known answer. numpy and scipy are
imported inside the functions that need them, so that importing this costs nothing.
"""

from quantbench.stats.clustered import (
    Estimate,
    clustered_mean,
    clustered_quantile,
    clustered_share,
    exponential_of_ratio,
    ratio_of_sums,
    ratio_t_test,
)
from quantbench.stats.corrections import holm, shaffer
from quantbench.stats.drift import DRIFT_BOUND, Noise, difference_margin, difference_p
from quantbench.stats.interval import Interval, normal_quantile
from quantbench.stats.medians import RoundsMedian, median_interval, median_over_rounds, percentile
from quantbench.stats.paired import (
    mcnemar_exact,
    mcnemar_power,
    paired_difference_interval,
    smallest_detectable_difference,
)
from quantbench.stats.permutation import detectable_mean_difference, sign_flip_test
from quantbench.stats.proportions import pass_at_k, wilson_interval
from quantbench.stats.round_model import Contrast, RoundModel
from quantbench.stats.several_answers import detectable_with_answers
from quantbench.stats.skewed import skewed_ratio_of_sums
from quantbench.stats.trend import FEWEST_FOR_SLOPE, Coefficient, mean_over, slope_over

__all__ = [
    "DRIFT_BOUND",
    "FEWEST_FOR_SLOPE",
    "Coefficient",
    "Contrast",
    "Estimate",
    "Interval",
    "Noise",
    "RoundModel",
    "RoundsMedian",
    "clustered_mean",
    "clustered_quantile",
    "clustered_share",
    "detectable_mean_difference",
    "detectable_with_answers",
    "difference_margin",
    "difference_p",
    "exponential_of_ratio",
    "holm",
    "mcnemar_exact",
    "mcnemar_power",
    "mean_over",
    "median_interval",
    "median_over_rounds",
    "normal_quantile",
    "paired_difference_interval",
    "pass_at_k",
    "percentile",
    "ratio_of_sums",
    "ratio_t_test",
    "shaffer",
    "sign_flip_test",
    "skewed_ratio_of_sums",
    "slope_over",
    "smallest_detectable_difference",
    "wilson_interval",
]
