"""The smallest difference that several answers to a problem show: known answers, and a simulation."""

from math import sqrt

import numpy as np
import pytest

from quantbench.stats import detectable_mean_difference, detectable_with_answers
from quantbench.stats.clustered import student_quantile

PROBLEMS = 164


def drawn(
    answers: int, gap: float, generator: np.random.Generator
) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Two methods' answers; problems differ in difficulty, and in how much the second one loses."""
    ones = generator.beta(0.4, 0.4, PROBLEMS)
    others = np.clip(ones + gap + generator.normal(0, 0.05, PROBLEMS), 0, 1)
    return tuple([(int(k), answers) for k in generator.binomial(answers, p)] for p in (ones, others))  # type: ignore[return-value]


def test_at_the_number_of_answers_that_was_measured_it_is_the_scatter_that_was_seen() -> None:
    ones, others = drawn(20, -0.05, np.random.default_rng(1))
    differences = [a / n - b / m for (a, n), (b, m) in zip(ones, others, strict=True)]
    found = detectable_with_answers(ones, others, 20)
    assert found == pytest.approx(detectable_mean_difference(differences))


def test_one_answer_is_foretold_from_twenty_as_it_is_measured_from_the_rates() -> None:
    rates = [(10, 20)] * PROBLEMS  # every true difference is 0: the chance of answers is all there is
    found = detectable_with_answers(rates, rates, 1)
    quantiles = student_quantile(163, 0.95) + student_quantile(163, 0.6)
    assert found == pytest.approx(quantiles * sqrt(2 * 10 * 10 / (20 * 19) / PROBLEMS))


def test_more_answers_never_show_less() -> None:
    ones, others = drawn(20, -0.05, np.random.default_rng(2))
    found = [detectable_with_answers(ones, others, n) for n in (1, 2, 5, 20, 1000)]
    assert found == sorted(found, reverse=True)  # type: ignore[type-var]


def test_a_difference_of_that_size_is_found_in_four_of_five_runs() -> None:
    generator = np.random.default_rng(3)
    gap = -0.07
    found, foretold = [], []
    for _ in range(400):
        ones, others = drawn(5, gap, generator)
        differences = np.array([a / n - b / m for (a, n), (b, m) in zip(ones, others, strict=True)])
        t = differences.mean() / (differences.std(ddof=1) / sqrt(PROBLEMS))
        found.append(abs(t) > student_quantile(PROBLEMS - 1, 0.95))
        foretold.append((differences.mean(), detectable_with_answers(*drawn(20, gap, generator), 5)))
    true = np.mean([mean for mean, _ in foretold])
    detectable = np.mean([value for _, value in foretold])
    noncentral = (student_quantile(163, 0.95) + student_quantile(163, 0.6)) * true / detectable
    power = np.mean(np.abs(np.random.default_rng(4).normal(noncentral, 1, 100_000)) > 1.975)
    assert np.mean(found) == pytest.approx(power, abs=0.06)


def test_without_scatter_or_problems_nothing_is_known() -> None:
    assert detectable_with_answers([(2, 2)] * 9, [(2, 2)] * 9, 5) is None
    assert detectable_with_answers([(1, 2)], [(1, 2)], 5) is None
    with pytest.raises(ValueError, match="one answer"):
        detectable_with_answers([(1, 1)] * 9, [(0, 1)] * 9, 5)
