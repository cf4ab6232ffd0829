import numpy as np
import pytest

from quantbench.stats import Interval, median_interval, median_over_rounds, percentile
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


def test_median_over_rounds_is_the_median_of_the_rounds_medians() -> None:
    assert median_over_rounds([1.0, 2.0, 9.0, 4.0, 5.0, 6.0], [0, 0, 0, 1, 1, 1]).value == 3.5


def test_few_rounds_state_the_confidence_that_they_reach() -> None:
    result = median_over_rounds([1.0, 2.0, 3.0], [0, 1, 2])
    assert result.confidence == pytest.approx(0.75)


def test_repetitions_in_one_round_give_no_interval() -> None:
    assert median_over_rounds([1.0, 2.0, 3.0, 4.0], [0, 0, 0, 0]).interval is None


def test_median_over_rounds_covers_95_percent_when_rounds_drift() -> None:
    rng = np.random.default_rng(11)
    rounds = [number for number in range(8) for _ in range(5)]

    def simulate() -> Interval | None:
        drift = np.repeat(rng.normal(size=8), 5)
        return median_over_rounds(list(drift + rng.normal(size=40) * 0.3), rounds).interval

    assert 0.93 <= coverage(simulate, truth=0.0) <= 0.97


def test_percentile_lies_between_its_neighbours() -> None:
    assert percentile([10.0, 20.0, 30.0, 40.0, 50.0], 0.9) == pytest.approx(46.0)


def test_percentile_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="no percentile"):
        percentile([], 0.5)
