from collections.abc import Callable

import numpy as np
import pytest

from quantbench.stats import (
    Estimate,
    Interval,
    clustered_mean,
    clustered_quantile,
    clustered_share,
    exponential_of_ratio,
    ratio_of_sums,
)
from tests.stats.coverage import coverage

Clusters = list[np.ndarray]
PROBLEMS = 80


def skewed_clusters(rng: np.random.Generator) -> Clusters:
    """Problems of unequal length; each has its own level, and its tokens have a long right tail."""
    levels = np.exp(rng.normal(0, 0.5, PROBLEMS))
    return [level * np.exp(rng.normal(size=rng.integers(30, 90))) for level in levels]


def sums(clusters: Clusters) -> list[float]:
    return [float(values.sum()) for values in clusters]


def sizes(clusters: Clusters) -> list[float]:
    return [float(len(values)) for values in clusters]


TRUE_MEAN = float(np.exp(0.5 * 0.25) * np.exp(0.5))


@pytest.mark.parametrize(
    ("estimate", "truth"),
    [
        (lambda c: exponential_of_ratio(sums(c), sizes(c)), float(np.exp(TRUE_MEAN))),
        (lambda c: clustered_quantile(c, 0.5), 1.0),
        (lambda c: clustered_quantile(c, 0.99), float(np.exp(2.3263 * np.sqrt(1.25)))),
    ],
    ids=["perplexity", "median", "99th percentile"],
)
def test_interval_over_skewed_clusters_covers_95_percent(
    estimate: Callable[[Clusters], Estimate], truth: float
) -> None:
    rng = np.random.default_rng(17)
    assert 0.93 <= coverage(lambda: estimate(skewed_clusters(rng)).interval, truth) <= 0.97


def test_share_over_clusters_covers_95_percent_near_its_end() -> None:
    rng = np.random.default_rng(19)

    def simulate() -> Interval | None:
        tokens = rng.integers(30, 90, PROBLEMS)
        hits = rng.binomial(tokens, rng.beta(30, 1, PROBLEMS))
        return clustered_share(hits.tolist(), tokens.tolist()).interval

    assert 0.93 <= coverage(simulate, truth=30 / 31) <= 0.97


def test_ratio_weights_clusters_by_their_size() -> None:
    assert ratio_of_sums([10.0, 2.0], [10.0, 1.0]).value == pytest.approx(12 / 11)


def test_mean_interval_of_equal_clusters_is_that_of_students_t() -> None:
    clusters = [[float(value)] for value in range(10)]
    interval = clustered_mean(clusters).interval
    assert interval is not None
    assert interval.high - 4.5 == pytest.approx(2.262157 * np.std(range(10), ddof=1) / np.sqrt(10), rel=1e-6)


def test_repeating_every_token_of_a_problem_narrows_nothing() -> None:
    once = clustered_mean([[float(value)] for value in range(10)]).interval
    often = clustered_mean([[float(value)] * 50 for value in range(10)]).interval
    assert once is not None and often is not None
    assert often.width == pytest.approx(once.width)


def test_few_clusters_have_a_value_but_no_interval() -> None:
    estimate = clustered_mean([[1.0], [2.0]])
    assert (estimate.value, estimate.interval) == (1.5, None)


def test_quantile_is_the_smallest_value_that_reaches_its_level() -> None:
    assert clustered_quantile([[4.0, 1.0], [3.0, 2.0]], 0.5).value == 2.0


def test_share_of_all_leaves_room_below_one() -> None:
    interval = clustered_share([10] * 30, [10] * 30).interval
    assert interval is not None
    assert interval.high == 1.0
    assert interval.low == pytest.approx(0.025 ** (1 / 30))


def test_ratio_of_empty_clusters_is_an_error() -> None:
    with pytest.raises(ValueError, match="no values"):
        ratio_of_sums([0.0], [0.0])
