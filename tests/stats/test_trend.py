"""Means and slopes over models: known answers, and intervals that cover as often as they say."""

import random

import pytest
from scipy import stats

from quantbench.stats import mean_over, slope_over


def test_the_mean_is_that_of_students_t_test() -> None:
    values = [0.1, -0.2, 0.4, 0.3, 0.05]
    found = mean_over(values)
    assert found is not None
    assert found.p == pytest.approx(stats.ttest_1samp(values, 0).pvalue)
    assert (found.value, found.degrees) == (pytest.approx(0.13), 4)


def test_the_slope_is_that_of_linear_regression() -> None:
    x, y = [1.0, 2.0, 3.5, 5.0, 6.0], [0.2, 0.1, 0.5, 0.4, 0.9]
    found, known = slope_over(x, y), stats.linregress(x, y)
    assert found is not None
    assert (found.value, found.p) == (pytest.approx(known.slope), pytest.approx(known.pvalue))


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_values_have_no_mean(count: int) -> None:
    assert mean_over([0.5] * count) is None


@pytest.mark.parametrize(("x", "y"), [([1, 2, 3], [1, 2, 4]), ([2, 2, 2, 2], [1, 2, 3, 4])])
def test_too_few_models_or_models_of_one_size_have_no_slope(x: list[float], y: list[float]) -> None:
    assert slope_over(x, y) is None


def test_intervals_of_a_slope_that_is_not_there_miss_it_one_time_in_twenty() -> None:
    draw = random.Random(1)
    x = [27.0, 28.3, 29.1, 30.6, 31.4, 33.0]
    missed = 0
    for _ in range(1000):
        found = slope_over(x, [draw.gauss(-0.05, 0.03) for _ in x])
        assert found is not None
        missed += not found.interval.contains(0)
    assert 30 <= missed <= 72
