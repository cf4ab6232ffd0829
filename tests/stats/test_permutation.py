from itertools import product

import numpy as np
import pytest

from quantbench.stats import detectable_mean_difference, mcnemar_exact, sign_flip_test


@pytest.mark.parametrize("differences", [[3, -1, 2, 2], [5, 0, -4, 1, 1, 7], [1, 1, 1, 1, 1, 1, -1]])
def test_p_is_the_share_of_all_signs_that_move_the_sum_as_far(differences: list[int]) -> None:
    sums = [
        sum(s * d for s, d in zip(signs, differences, strict=True))
        for signs in product((-1, 1), repeat=len(differences))
    ]
    share = sum(abs(total) >= abs(sum(differences)) for total in sums) / len(sums)
    assert sign_flip_test(differences) == pytest.approx(share)


@pytest.mark.parametrize(("won", "lost"), [(6, 0), (8, 1), (21, 10), (0, 0), (3, 3)])
def test_with_outcomes_of_0_and_1_it_is_mcnemars_test(won: int, lost: int) -> None:
    assert sign_flip_test([1] * won + [-1] * lost + [0] * 40) == pytest.approx(mcnemar_exact(won, lost))


def test_equal_methods_are_called_different_in_at_most_5_percent_of_runs() -> None:
    rng = np.random.default_rng(5)
    rates = rng.beta(0.4, 0.8, 60)
    runs = [rng.binomial(5, rates) - rng.binomial(5, rates) for _ in range(400)]
    assert np.mean([sign_flip_test(differences.tolist()) < 0.05 for differences in runs]) <= 0.05 + 0.022


def test_sizes_that_do_not_fit_are_an_error() -> None:
    with pytest.raises(ValueError, match="too large"):
        sign_flip_test([3_000_000])


def test_detectable_mean_is_found_with_80_percent_power() -> None:
    rng = np.random.default_rng(7)
    scatter = rng.normal(0, 0.3, 80)
    smallest = detectable_mean_difference(scatter.tolist())
    assert smallest is not None
    runs = np.round(1000 * (smallest + rng.normal(0, np.std(scatter, ddof=1), (400, 80)))).astype(int)
    assert np.mean([sign_flip_test(run.tolist()) < 0.05 for run in runs]) == pytest.approx(0.8, abs=0.05)


def test_differences_without_scatter_have_no_detectable_one() -> None:
    assert detectable_mean_difference([0.0] * 10) is None
