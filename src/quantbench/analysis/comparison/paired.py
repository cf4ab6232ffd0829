"""pass@1 against the baseline's, problem by problem: how many outcomes changed, and whether that is real.

A verdict holds for all comparisons of the report together. What is not significantly different is not thereby
equal: the smallest difference that so many problems would have shown stands beside it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from quantbench.analysis.comparison.comparisons import ALPHA
from quantbench.analysis.comparison.pairing import can_be_paired, compare_problems, rate_differences, single
from quantbench.analysis.comparison.rows import Rows
from quantbench.analysis.comparison.score_tests import score_key
from quantbench.analysis.figures.scores import Score
from quantbench.stats import (
    Interval,
    detectable_mean_difference,
    detectable_with_answers,
    paired_difference_interval,
    ratio_of_sums,
    smallest_detectable_difference,
)

ANSWERS = (1, 5, 20)  # to each problem, for which the smallest detectable difference is told


class Change(StrEnum):
    """What the pairs allow to be said; shown as it is."""

    BETTER = "better"
    WORSE = "worse"
    UNDECIDED = "not significantly different"


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedScore:
    """One method against the baseline on one task; shares are of the problems."""

    label: str
    task: str
    problems: int
    gained: int  # problems that the method solves more often than the baseline
    lost: int
    difference: float  # of pass@1
    interval: Interval | None  # of the difference, 95 %
    test: str  # the name of the test that p is of
    p: float
    adjusted_p: float  # corrected for all comparisons of the report
    detectable: float | None  # smallest difference found with 80 % power, if answers scatter as they do
    answers: int = 1  # to each problem
    by_answers: Mapping[int, float] = field(default_factory=dict)  # the same with other numbers of answers
    like_rerun: bool = False  # changed no more, either way, than a rerun of the baseline

    @property
    def flips(self) -> int:
        """Problems whose outcome changed, either way."""
        return self.gained + self.lost

    @property
    def change(self) -> Change:
        if self.adjusted_p >= ALPHA or not self.difference:
            return Change.UNDECIDED
        return Change.BETTER if self.difference > 0 else Change.WORSE

    @property
    def only_alone(self) -> bool:
        """Whether the difference would count if it were the only comparison."""
        return self.change is Change.UNDECIDED and self.p < ALPHA

    @property
    def verdict(self) -> str:
        """The change in plain words, with what the other comparisons and reruns of the baseline say."""
        if self.only_alone:
            return f"{self.change} (alone it would: p = {self.p:.3f})"
        if self.like_rerun:
            return f"{self.change}, no more changed than in a rerun"
        return str(self.change)


def paired_scores(results: Rows) -> tuple[PairedScore, ...]:
    """All methods that answered the baseline's problems, task by task; empty without a baseline."""
    baseline = results.baseline
    if baseline is None:
        return ()
    return tuple(
        _corrected(
            pair_scores(row.label, own, reference, results.comparisons.level(score_key(task))), results
        )
        for task in results.tasks
        for row in results.rows
        if not row.is_baseline
        and (own := row.score(task)) is not None
        and (reference := baseline.score(task)) is not None
        and can_be_paired(own, reference)
    )


def _corrected(pair: PairedScore, results: Rows) -> PairedScore:
    """The same with the report's correction."""
    found = results.comparisons.get(score_key(pair.task), pair.label, results.baseline_name)
    return pair if found.adjusted_p is None else replace(pair, adjusted_p=found.adjusted_p)


def pair_scores(label: str, own: Score, reference: Score, level: float = ALPHA) -> PairedScore:
    """One comparison by itself; what it could detect is at this level of significance."""
    found = compare_problems(own, reference)
    return PairedScore(
        label=label,
        task=own.task,
        problems=own.problems,
        gained=found.ahead,
        lost=found.behind,
        difference=found.difference,
        interval=_interval(own, reference, found.ahead, found.behind),
        test=found.test,
        p=found.p,
        adjusted_p=found.p,
        detectable=_detectable(own, reference, found.ahead + found.behind, level),
        answers=own.per_problem,
        by_answers=_by_answers(own, reference, level),
    )


def _interval(own: Score, reference: Score, gained: int, lost: int) -> Interval | None:
    """Tango's for one completion a problem; Student's t over problems where rates are not 0 or 1."""
    if single(own, reference):
        return paired_difference_interval(gained, lost, own.problems)
    differences = rate_differences(own, reference)
    return ratio_of_sums(differences, [1.0] * len(differences)).interval


def _detectable(own: Score, reference: Score, flips: int, level: float) -> float | None:
    """Of 0/1 outcomes by McNemar's power; of rates by the scatter of their differences."""
    if single(own, reference):
        return smallest_detectable_difference(own.problems, flips / own.problems, alpha=level)
    return detectable_mean_difference(rate_differences(own, reference), alpha=level)


def _by_answers(own: Score, reference: Score, level: float) -> dict[int, float]:
    """Smallest detectable differences by the number of answers; empty where one problem has a single one."""
    counts = [list((score.solved or {}).values()) for score in (own, reference)]
    if any(total < 2 for part in counts for _, total in part):
        return {}
    asked = sorted({*ANSWERS, own.per_problem})
    found = {n: detectable_with_answers(counts[0], counts[1], n, alpha=level) for n in asked}
    return {n: value for n, value in found.items() if value is not None}
