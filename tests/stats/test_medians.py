import numpy as np
import pytest

from quantbench.stats import median_interval
from tests.stats.coverage import coverage


def test_median_interval_of_six_values_is_nearly_their_range() -> None:
    interval = median_interval([3.0, 1.0, 2.0, 6.0, 5.0, 4.0])
    assert interval is not None
    assert interval.low == pytest.approx(1 + 0.5 / 1.4)
    assert interval.high == pytest.approx(6 - 0.5 / 1.4)


def test_median_interval_of_five_values_is_not_known_at_95_percent() -> None:
    assert median_interval([1.0, 2.0, 3.0, 4.0, 5.0]) is None


def test_median_interval_of_five_values_is_known_at_90_percent() -> None:
    assert median_interval([1.0, 2.0, 3.0, 4.0, 5.0], confidence=0.9) is not None


def test_median_interval_of_equal_values_has_no_width() -> None:
    interval = median_interval([2.0] * 9)
    assert interval is not None
    assert interval.width == 0


@pytest.mark.parametrize("n", [6, 9, 20])
def test_median_interval_covers_95_percent_of_skewed_timings(n: int) -> None:
    rng = np.random.default_rng(7)
    share = coverage(lambda: median_interval(list(rng.exponential(size=n))), truth=float(np.log(2)))
    assert 0.93 <= share <= 0.97
