"""Two scores over the same problems: which problems differ, and the exact test of the mean difference.

One completion a problem: McNemar's test. Several: rates are compared, so the test asks for the mean of
their differences (random signs), not for how many problems went either way.
"""

from dataclasses import dataclass
from math import lcm

from quantbench.analysis.figures.scores import Score
from quantbench.stats import mcnemar_exact, sign_flip_test

MCNEMAR = "exact McNemar"
PERMUTATION = "exact paired permutation"
FINEST = 10_000  # parts of a rate: unequal numbers of completions without a smaller common scale


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemTest:
    """`ahead` and `behind` count problems; the difference is that of pass@1."""

    ahead: int
    behind: int
    difference: float
    p: float
    test: str  # MCNEMAR or PERMUTATION


def can_be_paired(one: Score, other: Score) -> bool:
    """Whether both answered the same problems and the outcome of each is known."""
    return one.solved is not None and other.solved is not None and one.solved.keys() == other.solved.keys()


def single(one: Score, other: Score) -> bool:
    """Whether both have one completion a problem, so that every outcome is 0 or 1."""
    return all(total == 1 for score in (one, other) for _, total in (score.solved or {}).values())


def rate_differences(one: Score, other: Score) -> list[float]:
    """Differences of the rates, problem by problem; ValueError where outcomes are not known."""
    rates, others = one.rates, other.rates
    if rates is None or others is None:
        raise ValueError("outcomes of single problems are not known")
    return [rate - others[problem] for problem, rate in rates.items()]


def compare_problems(one: Score, other: Score) -> ProblemTest:
    """Counts and test of two scores that can be paired; ValueError where they cannot."""
    if one.solved is None or other.solved is None or not can_be_paired(one, other):
        raise ValueError("the outcomes cannot be matched problem by problem")
    pairs = [(*own, *other.solved[problem]) for problem, own in one.solved.items()]
    ahead = sum(a * n > b * m for a, m, b, n in pairs)
    behind = sum(a * n < b * m for a, m, b, n in pairs)
    if single(one, other):
        p, test = mcnemar_exact(ahead, behind), MCNEMAR
    else:
        p, test = sign_flip_test(_on_one_scale(pairs)), PERMUTATION
    difference = one.pass_at_1 - other.pass_at_1
    return ProblemTest(ahead=ahead, behind=behind, difference=difference, p=p, test=test)


def _on_one_scale(pairs: list[tuple[int, int, int, int]]) -> list[int]:
    """Differences of rates as whole numbers: exact where the completions have a common multiple."""
    scale = lcm(*(total for _, m, _, n in pairs for total in (m, n)))
    if scale > FINEST:
        return [round(FINEST * (a / m - b / n)) for a, m, b, n in pairs]
    return [a * scale // m - b * scale // n for a, m, b, n in pairs]
