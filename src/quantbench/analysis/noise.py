"""Whether two rows differ by more than noise, metric by metric, and the evidence in words.

Sizes are exact. Speeds are apart when the intervals of their medians do not overlap. Scores are compared
problem by problem (see `pairing`), or as two independent shares where the problems cannot be paired.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import comb, sqrt

from quantbench.analysis.pairing import can_be_paired, compare_problems, single
from quantbench.analysis.rows import Row
from quantbench.analysis.scores import Score
from quantbench.analysis.speeds import Estimate
from quantbench.analysis.wording import chance, signed
from quantbench.stats import Interval

SIGNIFICANT = 0.05

# A process's peak resident set moves by a few per cent from run to run; the CUDA allocator's does not.
RESIDENT_SHARE = 0.03
RESIDENT_BYTES = 16_000_000
ALLOCATOR_SHARE = 0.001

# Two processes that time the same work one after the other differ by more than their own repetitions do.
PROCESS_DRIFT_CPU = 0.05
PROCESS_DRIFT_GPU = 0.02

# Two medians of two repetitions each differ with 95 % confidence when they are this many ranges apart:
# Welch's t for one degree of freedom, 12.7 / sqrt(2).
CLEAR_DISTANCE = 9.0


class Call(StrEnum):
    """What the figures allow to be said about two rows."""

    APART = "apart"
    TOGETHER = "together"
    UNKNOWN = "unknown"  # a figure is missing, or was measured once


@dataclass(frozen=True, slots=True)
class Verdict:
    """A call and its reason, a clause without a full stop."""

    call: Call
    why: str


def compare_sizes(one: Row, other: Row) -> Verdict:
    """Weight bytes are counted, not estimated."""
    if one.weight_bytes is None or other.weight_bytes is None:
        return Verdict(Call.UNKNOWN, "a size is missing")
    same = one.weight_bytes == other.weight_bytes
    return Verdict(Call.TOGETHER if same else Call.APART, "sizes are exact")


def compare_memory(one: Row, other: Row) -> Verdict:
    """Peaks are apart when they differ by more than repeating the run would make them."""
    a, b = one.memory_bytes, other.memory_bytes
    if a is None or b is None or one.record.memory is None:
        return Verdict(Call.UNKNOWN, "a memory figure is missing")
    if one.record.memory.kind == "cuda":
        near = abs(a - b) <= ALLOCATOR_SHARE * max(a, b)
        return Verdict(Call.TOGETHER if near else Call.APART, "the allocator's peak repeats exactly")
    near = abs(a - b) <= max(RESIDENT_SHARE * max(a, b), RESIDENT_BYTES)
    why = "a resident set varies by about 3 %, and by 16 MB at least, between runs"
    return Verdict(Call.TOGETHER if near else Call.APART, why)


def compare_speeds(one: Row, other: Row) -> Verdict:
    """Decode rates at the headline batch size and prompt length."""
    a = one.speed.decode if one.speed else None
    b = other.speed.decode if other.speed else None
    return _between_processes(compare_estimates(a, b), a, b, one, other)


def compare_responses(one: Row, other: Row) -> Verdict:
    """Time from prompt to last token at the headline point."""
    a = one.speed.response_s if one.speed else None
    b = other.speed.response_s if other.speed else None
    return _between_processes(compare_estimates(a, b), a, b, one, other)


def _between_processes(
    verdict: Verdict, a: Estimate | None, b: Estimate | None, one: Row, other: Row
) -> Verdict:
    """What one process each cannot prove: its repetitions do not know how another process would do."""
    if verdict.call is not Call.APART or a is None or b is None or not (_one_round(one) or _one_round(other)):
        return verdict
    on_cpu = any(str(row.record.trial.get("device", "")) == "cpu" for row in (one, other))
    drift = PROCESS_DRIFT_CPU if on_cpu else PROCESS_DRIFT_GPU
    if abs(a.value - b.value) > drift * max(a.value, b.value):
        return verdict
    return Verdict(Call.TOGETHER, f"one process each, and processes alone can be {100 * drift:.0f} % apart")


def _one_round(row: Row) -> bool:
    return all(len(set(point.round_of)) < 2 for point in row.record.speed)


def compare_estimates(a: Estimate | None, b: Estimate | None) -> Verdict:
    """Two medians of repetitions."""
    if a is None or b is None:
        return Verdict(Call.UNKNOWN, "a time is missing")
    if a.interval is None or b.interval is None:
        return Verdict(Call.UNKNOWN, "one repetition says nothing about noise")
    ranged = a.ranged or b.ranged
    what = "the ranges of the repetitions" if ranged else "the 95 % intervals of the medians"
    if a.interval.low <= b.interval.high and b.interval.low <= a.interval.high:
        return Verdict(Call.TOGETHER, f"{what} overlap")
    if ranged and not _clearly_apart(a, b):
        few = min(a.repetitions, b.repetitions)
        return Verdict(Call.UNKNOWN, f"{what} are apart, but {few} repetitions can do that by chance")
    return Verdict(Call.APART, f"{what} are apart")


def _clearly_apart(a: Estimate, b: Estimate) -> bool:
    """Whether ranges that do not overlap prove anything: by their number, or by their distance."""
    if a.interval is None or b.interval is None:
        return False
    if chance_of_separation(a.repetitions, b.repetitions) < SIGNIFICANT:
        return True
    return abs(a.value - b.value) > CLEAR_DISTANCE * max(a.interval.width, b.interval.width)


def chance_of_separation(one: int, other: int) -> float:
    """Chance that the ranges of so many equally distributed times do not overlap: extreme rank sum."""
    return 2 / comb(one + other, one)


def compare_scores(
    task: str, one: Row, other: Row, adjusted: Mapping[tuple[str, str], float] | None = None
) -> Verdict:
    """Paired by problem where both answered the same problems, unpaired otherwise.

    `adjusted` holds the p-values against the baseline, (task, method) -> p, corrected for how many they are.
    """
    a, b = one.score(task), other.score(task)
    if a is None or b is None:
        return Verdict(Call.UNKNOWN, "a score is missing")
    if not can_be_paired(a, b):
        return _unpaired(a, b)
    found = compare_problems(a, b)
    p = found.p
    if a.rates == b.rates:
        counts = f"{one.label} and {other.label} solve the same ones"
    elif single(a, b):
        counts = f"{one.label} alone solves {found.ahead} and {other.label} alone {found.behind}"
    else:
        counts = f"{one.label} solves {found.ahead} more often and {other.label} {found.behind}"
    why = f"paired by problem, {counts}, {found.test} {chance(p)}"
    corrected = _corrected(p, task, one, other, adjusted or {})
    if corrected > p and p < SIGNIFICANT:
        why += f", {chance(corrected)} when corrected for all comparisons"
    return Verdict(Call.APART if corrected < SIGNIFICANT else Call.TOGETHER, why)


def _corrected(p: float, task: str, one: Row, other: Row, adjusted: Mapping[tuple[str, str], float]) -> float:
    """A comparison with the baseline has its corrected p, any other one its own."""
    if one.is_baseline == other.is_baseline:
        return p
    return adjusted.get((task, other.label if one.is_baseline else one.label), p)


def _unpaired(one: Score, other: Score) -> Verdict:
    gap = difference_interval(one, other)
    call = Call.TOGETHER if gap.contains(0.0) else Call.APART
    n = min(one.problems, other.problems)
    why = (
        f"unpaired, as the outcomes cannot be matched problem by problem: at n = {n} the difference is "
        f"known to lie between {signed(100 * gap.low)} and {signed(100 * gap.high)} points"
    )
    return Verdict(call, why)


def difference_interval(one: Score, other: Score) -> Interval:
    """95 % interval of the difference of two independent shares (Newcombe 1998, method 10)."""
    gap = one.pass_at_1 - other.pass_at_1
    a, b = one.interval, other.interval
    low = sqrt((one.pass_at_1 - a.low) ** 2 + (b.high - other.pass_at_1) ** 2)
    high = sqrt((a.high - one.pass_at_1) ** 2 + (other.pass_at_1 - b.low) ** 2)
    return Interval(gap - low, gap + high)
