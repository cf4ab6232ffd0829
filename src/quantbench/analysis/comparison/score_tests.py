"""Scores of two methods: paired by problem where both answered the same ones, as two shares otherwise."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

from quantbench.analysis.comparison.comparisons import (
    ALPHA,
    Comparison,
    Comparisons,
    Family,
    Pair,
    Verdict,
    pairs_of,
)
from quantbench.analysis.comparison.pairing import can_be_paired, compare_problems, single
from quantbench.analysis.figures.row import Row
from quantbench.analysis.figures.scores import Score
from quantbench.analysis.formatting import chance, signed
from quantbench.stats import Interval


@dataclass(frozen=True, slots=True)
class ScoreTest:
    """One comparison by itself: the p-value and what it rests on."""

    p: float
    why: str


def score_key(task: str) -> str:
    """The key of a task's pass@1 among the metrics."""
    return f"pass@1:{task}"


def compare_scores(rows: Sequence[Row]) -> Comparisons:
    """All pairs of rows on all tasks, one family."""
    tests: dict[Pair, ScoreTest] = {}
    gaps: dict[Pair, float] = {}
    for task in dict.fromkeys(score.task for row in rows for score in row.scores):
        scores = {row.label: score for row in rows if (score := row.score(task)) is not None}
        for pair in pairs_of(list(scores), score_key(task)):
            one, other = scores[pair.one], scores[pair.other]
            tests[pair] = score_test(one, other, pair)
            gaps[pair] = one.pass_at_1 - other.pass_at_1
    family = Family({pair: test.p for pair, test in tests.items()})
    adjusted = family.adjusted()
    found = {pair: _compared(test, gaps[pair], adjusted[pair]) for pair, test in tests.items()}
    return Comparisons(found, {pair.metric: family.level for pair in tests})


def _compared(test: ScoreTest, gap: float, adjusted: float) -> Comparison:
    why = test.why
    if adjusted > test.p and test.p < ALPHA:
        why += f", {chance(adjusted)} when corrected for all comparisons"
    verdict = Verdict.SIGNIFICANT if adjusted < ALPHA else Verdict.NOT_SIGNIFICANT
    return Comparison(verdict=verdict, why=why, difference=gap, p=test.p, adjusted_p=adjusted)


def score_test(one: Score, other: Score, pair: Pair) -> ScoreTest:
    """By problem where outcomes can be paired, as two shares otherwise; `pair` names the two methods."""
    if not can_be_paired(one, other):
        return _unpaired(one, other)
    found = compare_problems(one, other)
    if one.rates == other.rates:
        counts = f"{pair.one} and {pair.other} solve the same ones"
    elif single(one, other):
        counts = f"{pair.one} alone solves {found.ahead} and {pair.other} alone {found.behind}"
    else:
        counts = f"{pair.one} solves {found.ahead} more often and {pair.other} {found.behind}"
    return ScoreTest(found.p, f"paired by problem, {counts}, {found.test} {chance(found.p)}")


def _unpaired(one: Score, other: Score) -> ScoreTest:
    gap = difference_interval(one, other)
    n = min(one.problems, other.problems)
    why = (
        f"unpaired, as the outcomes cannot be matched problem by problem: at n = {n} the difference is "
        f"known to lie between {signed(100 * gap.low)} and {signed(100 * gap.high)} points"
    )
    return ScoreTest(two_shares_p(one, other), why)


def two_shares_p(one: Score, other: Score) -> float:
    """Two-sided p-value of two independent shares (z test with the pooled share)."""
    from statistics import NormalDist

    n, m = one.problems, other.problems
    pooled = (one.pass_at_1 * n + other.pass_at_1 * m) / (n + m)
    error = sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    if error == 0:
        return 1.0
    return 2 * NormalDist().cdf(-abs(one.pass_at_1 - other.pass_at_1) / error)


def difference_interval(one: Score, other: Score) -> Interval:
    """95 % interval of the difference of two independent shares (Newcombe 1998, method 10)."""
    gap = one.pass_at_1 - other.pass_at_1
    a, b = one.interval, other.interval
    low = sqrt((one.pass_at_1 - a.low) ** 2 + (b.high - other.pass_at_1) ** 2)
    high = sqrt((a.high - one.pass_at_1) ** 2 + (other.pass_at_1 - b.low) ** 2)
    return Interval(gap - low, gap + high)
