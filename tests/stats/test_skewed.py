"""Coverage of the mean of skewed problems; a lognormal's log-sd of 2 is a tail in which one problem in ten
holds two thirds of the sum."""

import numpy as np
import pytest

from quantbench.stats import Interval, skewed_ratio_of_sums
from tests.stats.coverage import coverage

CASES = [(n, sd) for n in (10, 20, 40, 164) for sd in (0.5, 1.0, 1.5, 2.0)]
SHORT = [(10, 1.0), (10, 2.0), (20, 1.5), (40, 2.0)]


def lognormal_coverage(problems: int, log_sd: float, runs: int, seed: int) -> float:
    """How often the interval holds a lognormal's mean, over problems of unequal size."""
    rng = np.random.default_rng(seed)

    def simulate() -> Interval | None:
        tokens = rng.lognormal(0, 0.5, problems) * 150
        return skewed_ratio_of_sums(rng.lognormal(0, log_sd, problems) * tokens, tokens).interval

    return coverage(simulate, float(np.exp(log_sd**2 / 2)), runs)


@pytest.mark.parametrize(("problems", "log_sd"), SHORT)
def test_mean_of_skewed_problems_is_covered(problems: int, log_sd: float) -> None:
    runs = 300
    sampling = 2 * np.sqrt(0.92 * 0.08 / runs)
    assert lognormal_coverage(problems, log_sd, runs, seed=3) >= 0.92 - sampling


@pytest.mark.long
@pytest.mark.parametrize(("problems", "log_sd"), CASES)
def test_mean_of_skewed_problems_is_covered_to_92_percent(problems: int, log_sd: float) -> None:
    assert lognormal_coverage(problems, log_sd, 4000, seed=11) >= 0.92


@pytest.mark.long
@pytest.mark.parametrize("problems", [20, 164])
def test_mean_of_problems_with_a_short_tail_is_covered_to_92_percent(problems: int) -> None:
    rng = np.random.default_rng(13)

    def simulate() -> Interval | None:
        tokens = rng.lognormal(0, 0.5, problems) * 150
        return skewed_ratio_of_sums(rng.gamma(0.6, 1 / 0.6, problems) * tokens, tokens).interval

    assert coverage(simulate, 1.0, 2000) >= 0.92


def test_interval_of_many_even_problems_is_nearly_students() -> None:
    rng = np.random.default_rng(5)
    values = rng.normal(1.0, 0.1, 164)
    interval = skewed_ratio_of_sums(values.tolist(), [1.0] * 164).interval
    assert interval is not None
    assert interval.width == pytest.approx(2 * 1.975 * np.std(values, ddof=1) / np.sqrt(164), rel=0.15)


def test_interval_is_the_same_when_it_is_computed_again() -> None:
    values = np.random.default_rng(1).lognormal(0, 1, 20).tolist()
    once, again = (skewed_ratio_of_sums(values, [1.0] * 20) for _ in range(2))
    assert once == again


def test_problems_without_any_divergence_do_not_stretch_the_interval_beyond_reason() -> None:
    values = [0.0] * 20 + np.random.default_rng(2).lognormal(0, 0.5, 80).tolist()
    interval = skewed_ratio_of_sums(values, [1.0] * 100).interval
    assert interval is not None
    assert interval.high / interval.low < 2


def test_equal_problems_have_an_interval_without_width() -> None:
    interval = skewed_ratio_of_sums([2.0] * 10, [1.0] * 10).interval
    assert interval is not None
    assert interval.width == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("values", [[1.0] * 7, [0.0] * 20])
def test_too_few_problems_or_no_divergence_have_no_interval(values: list[float]) -> None:
    assert skewed_ratio_of_sums(values, [1.0] * len(values)).interval is None


def test_no_values_are_an_error() -> None:
    with pytest.raises(ValueError, match="no values"):
        skewed_ratio_of_sums([1.0], [0.0])
