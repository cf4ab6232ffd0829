"""Corrections for several comparisons: known answers, and what one may never exceed of the other."""

import random
from itertools import combinations

import numpy as np
import pytest
from scipy.stats import norm

from quantbench.stats import holm, shaffer


def test_the_smallest_p_counts_for_all_pairs() -> None:
    assert shaffer([0.01, 0.5, 0.6], [3])[0] == pytest.approx(0.03)


def test_after_one_difference_among_three_methods_only_one_pair_can_be_equal() -> None:
    """Shaffer 1986: the factors for three methods are 3, 1, 1; Holm's are 3, 2, 1."""
    p = [0.001, 0.03, 0.04]
    assert shaffer(p, [3]) == pytest.approx([0.003, 0.03, 0.04])
    assert holm(p) == pytest.approx([0.003, 0.06, 0.06])


def test_ten_methods_have_the_published_factors() -> None:
    """Of 45 pairs at most 36, those of nine methods, can be equal once one differs."""
    p = [0.0001 * (rank + 1) for rank in range(45)]
    adjusted = shaffer(p, [10])
    assert adjusted[0] == pytest.approx(45 * p[0])
    assert adjusted[1] == pytest.approx(36 * p[1])


@pytest.mark.parametrize("groups", [[2], [3], [4, 4], [2, 5]])
def test_never_more_than_holm(groups: list[int]) -> None:
    draw = random.Random(1)
    for _ in range(50):
        p = [draw.random() ** 3 for _ in range(sum(k * (k - 1) // 2 for k in groups))]
        assert all(own <= other + 1e-12 for own, other in zip(shaffer(p, groups), holm(p), strict=True))


def test_false_claims_stay_below_five_per_cent_when_some_methods_are_equal() -> None:
    """Four methods in two equal pairs, far from each other: the case that plain step-down wastes."""
    draw = np.random.default_rng(2)
    means = np.array([0.0, 0.0, 6.0, 6.0])
    false = 0
    for _ in range(2000):
        values = means + draw.standard_normal(4)
        pairs = list(combinations(range(4), 2))
        p = [2 * norm.sf(abs(values[a] - values[b]) / np.sqrt(2)) for a, b in pairs]
        adjusted = dict(zip(pairs, shaffer(p, [4]), strict=True))
        false += adjusted[0, 1] < 0.05 or adjusted[2, 3] < 0.05
    assert false / 2000 < 0.06
