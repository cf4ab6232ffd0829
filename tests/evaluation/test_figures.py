"""pass@k with its interval, on known answers."""

import pytest

from quantbench.evaluation.figures import figures
from quantbench.stats import wilson_interval


def test_half_of_the_problems_passed_is_one_half() -> None:
    verdicts = {str(number): [number % 2 == 0] for number in range(164)}
    figure = figures(verdicts)[0]
    assert (figure.k, figure.value, figure.interval) == (1, 0.5, wilson_interval(82, 164))


def test_pass_at_k_is_the_unbiased_mean_over_problems() -> None:
    found = figures({"a": [True, False, False, False, False], "b": [True] * 5}, ks=(1, 2, 5))
    assert [figure.value for figure in found] == pytest.approx([0.6, 0.7, 1.0])


def test_a_k_that_a_problem_has_no_samples_for_is_left_out() -> None:
    assert [figure.k for figure in figures({"a": [True] * 10, "b": [True] * 9})] == [1]


def test_the_interval_of_several_samples_counts_problems_not_samples() -> None:
    few = {str(number): [number % 2 == 0] * 2 for number in range(20)}
    many = {str(number): [number % 2 == 0] * 50 for number in range(20)}
    narrow, wide = figures(many)[0].interval, figures(few)[0].interval
    assert narrow is not None and wide is not None
    assert narrow.width == pytest.approx(wide.width)
