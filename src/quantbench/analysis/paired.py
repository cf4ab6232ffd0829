"""pass@1 against the baseline's, problem by problem: how many outcomes changed, and whether that is real.

A verdict holds for all comparisons of the report together (Holm). What cannot be told apart is not thereby
equal: the smallest difference that so many problems would have shown stands beside it.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from quantbench.analysis.noise import SIGNIFICANT, discordant
from quantbench.analysis.rows import Results
from quantbench.analysis.scores import Score
from quantbench.stats import (
    Interval,
    holm,
    mcnemar_exact,
    paired_difference_interval,
    ratio_of_sums,
    smallest_detectable_difference,
)


class Change(StrEnum):
    """What the pairs allow to be said; shown as it is."""

    BETTER = "better"
    WORSE = "worse"
    UNDECIDED = "cannot be told apart"


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
    p: float  # exact McNemar
    adjusted_p: float  # Holm, over all comparisons of the report
    detectable: float | None  # smallest difference found with 80 % power at this discordance

    @property
    def flips(self) -> int:
        """Problems whose outcome changed, either way."""
        return self.gained + self.lost

    @property
    def change(self) -> Change:
        if self.adjusted_p >= SIGNIFICANT or self.gained == self.lost:
            return Change.UNDECIDED
        return Change.BETTER if self.gained > self.lost else Change.WORSE

    @property
    def only_alone(self) -> bool:
        """Whether the difference would count if it were the only comparison."""
        return self.change is Change.UNDECIDED and self.p < SIGNIFICANT


def paired_scores(results: Results) -> tuple[PairedScore, ...]:
    """All methods that answered the baseline's problems, task by task; empty without a baseline."""
    baseline = results.baseline
    if baseline is None:
        return ()
    found = [
        pair_scores(row.label, own, reference)
        for task in results.tasks
        for row in results.rows
        if not row.is_baseline
        and (own := row.score(task)) is not None
        and (reference := baseline.score(task)) is not None
        and can_be_paired(own, reference)
    ]
    adjusted = adjusted_chances(results)
    return tuple(replace(pair, adjusted_p=adjusted[pair.task, pair.label]) for pair in found)


def adjusted_chances(results: Results) -> dict[tuple[str, str], float]:
    """(task, method) -> exact McNemar p against the baseline, Holm over all comparisons of the report."""
    baseline = results.baseline
    if baseline is None:
        return {}
    chances = {
        (task, row.label): mcnemar_exact(*discordant(own, reference))
        for task in results.tasks
        for row in results.rows
        if not row.is_baseline
        and (own := row.score(task)) is not None
        and (reference := baseline.score(task)) is not None
        and can_be_paired(own, reference)
    }
    return dict(zip(chances, holm(list(chances.values())), strict=True))


def can_be_paired(one: Score, other: Score) -> bool:
    """Whether both answered the same problems and the outcome of each is known."""
    return one.rates is not None and other.rates is not None and one.rates.keys() == other.rates.keys()


def pair_scores(label: str, own: Score, reference: Score) -> PairedScore:
    """One comparison by itself; its adjusted p is its own."""
    gained, lost = discordant(own, reference)
    p = mcnemar_exact(gained, lost)
    n = own.problems
    return PairedScore(
        label=label,
        task=own.task,
        problems=n,
        gained=gained,
        lost=lost,
        difference=own.pass_at_1 - reference.pass_at_1,
        interval=_interval(own, reference, gained, lost),
        p=p,
        adjusted_p=p,
        detectable=smallest_detectable_difference(n, (gained + lost) / n),
    )


def _interval(own: Score, reference: Score, gained: int, lost: int) -> Interval | None:
    """Tango's for one completion a problem; Student's t over problems where rates are not 0 or 1."""
    if own.per_problem == reference.per_problem == 1:
        return paired_difference_interval(gained, lost, own.problems)
    rates, others = own.rates or {}, reference.rates or {}
    differences = [rate - others[problem] for problem, rate in rates.items()]
    return ratio_of_sums(differences, [1.0] * len(differences)).interval
