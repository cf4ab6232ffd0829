import numpy as np
import pytest

from quantbench.stats import (
    Interval,
    holm,
    mcnemar_exact,
    mcnemar_power,
    paired_difference_interval,
    smallest_detectable_difference,
)
from tests.stats.coverage import RUNS, coverage


@pytest.mark.parametrize(("b", "c", "p"), [(6, 0, 0.03125), (8, 1, 0.0390625), (10, 2, 0.03857421875)])
def test_mcnemar_knows_the_smallest_real_differences(b: int, c: int, p: float) -> None:
    assert mcnemar_exact(b, c) == pytest.approx(p)


def test_mcnemar_is_symmetric() -> None:
    assert mcnemar_exact(2, 9) == mcnemar_exact(9, 2)


def test_mcnemar_of_five_to_none_proves_nothing() -> None:
    assert mcnemar_exact(5, 0) == pytest.approx(0.0625)


def test_mcnemar_without_discordant_problems_is_one() -> None:
    assert mcnemar_exact(0, 0) == 1.0


def test_mcnemar_of_negative_counts_is_an_error() -> None:
    with pytest.raises(ValueError, match="negative"):
        mcnemar_exact(-1, 3)


def test_paired_interval_is_the_published_one() -> None:
    # 21 children before and after stem cell transplantation, 1 against 7 discordant (Fagerland et al. 2014).
    interval = paired_difference_interval(1, 7, 21)
    assert interval.low == pytest.approx(-0.517, abs=5e-4)
    assert interval.high == pytest.approx(-0.026, abs=5e-4)


def test_paired_interval_without_discordant_problems_is_symmetric_and_not_empty() -> None:
    interval = paired_difference_interval(0, 0, 164)
    assert interval.low == pytest.approx(-interval.high)
    assert interval.high == pytest.approx(1.96**2 / (164 + 1.96**2), abs=1e-4)


def test_paired_interval_of_all_gained_ends_at_one() -> None:
    assert paired_difference_interval(9, 0, 9).high == 1.0


@pytest.mark.parametrize(("gained", "lost"), [(0.05, 0.08), (0.01, 0.05)])
def test_paired_interval_covers_95_percent_of_differences(gained: float, lost: float) -> None:
    counts = iter(np.random.default_rng(3).multinomial(164, [gained, lost, 1 - gained - lost], RUNS))

    def simulate() -> Interval:
        b, c, _ = next(counts)
        return paired_difference_interval(int(b), int(c), 164)

    assert 0.93 <= coverage(simulate, truth=gained - lost) <= 0.97


def test_paired_interval_of_impossible_counts_is_an_error() -> None:
    with pytest.raises(ValueError, match="impossible"):
        paired_difference_interval(10, 10, 15)


def test_power_is_what_simulated_experiments_find() -> None:
    rng = np.random.default_rng(5)
    tables = rng.multinomial(164, [0.08, 0.02, 0.9], RUNS)
    rejected = np.mean([mcnemar_exact(int(b), int(c)) <= 0.05 for b, c, _ in tables])
    assert mcnemar_power(0.06, 0.1, 164) == pytest.approx(rejected, abs=0.03)


def test_power_without_a_difference_stays_below_the_level() -> None:
    assert 0 < mcnemar_power(0.0, 0.1, 164) <= 0.05


def test_detectable_difference_has_the_power_it_claims() -> None:
    difference = smallest_detectable_difference(164, 0.1)
    assert difference is not None
    assert mcnemar_power(difference, 0.1, 164) == pytest.approx(0.8, abs=0.002)


def test_detectable_difference_of_164_problems_is_at_least_seven_of_them() -> None:
    difference = smallest_detectable_difference(164, 0.0)
    assert difference is not None
    assert 7 / 164 < difference < 9 / 164


def test_five_problems_detect_nothing() -> None:
    assert smallest_detectable_difference(5, 0.3) is None


def test_holm_is_the_known_answer() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


def test_holm_never_exceeds_one() -> None:
    assert holm([0.9, 0.8]) == [1.0, 1.0]
