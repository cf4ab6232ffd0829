"""The distance of each method from the baseline over the same tokens, with intervals clustered by problem.

It is far more sensitive than pass@1: every token counts, not only problems whose outcome changes. It says
how much changes, not whether that is worse, and whether it is more than the baseline's own noise.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from quantbench.analysis.comparison.rows import Rows
from quantbench.records import Distance, ProblemDistance, Record
from quantbench.stats import (
    Estimate,
    clustered_quantile,
    clustered_share,
    exponential_of_ratio,
    skewed_ratio_of_sums,
)

SURE = 0.9  # probability of the baseline's most likely token from which on it is called sure
FEWEST_FOR_TAIL = 100  # problems; below, intervals of a 99th percentile cover as little as 79 % (simulated)


class AgainstFloor(StrEnum):
    """A method's mean divergence beside those of the baseline's own reruns; shown as it is."""

    WITHIN = "within the noise floor"  # no larger than that of a rerun
    BEYOND = "beyond the noise floor"  # their intervals lie apart
    UNDECIDED = "not decided against the noise floor"


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodDistance:
    """KL divergences in nats a token; None where the trial is the baseline itself."""

    label: str
    text: str
    top_k: int
    problems: int
    tokens: int
    is_floor: bool
    perplexity: Estimate
    mean_kl: Estimate | None = None
    median_kl: Estimate | None = None
    p90_kl: Estimate | None = None
    p99_kl: Estimate | None = None  # None, too, with fewer than 100 problems
    sure_kl: Estimate | None = None  # mean where the baseline is sure; None where that was not recorded
    unsure_kl: Estimate | None = None
    sure_share: float | None = None  # of the tokens
    same_top: Estimate | None = None  # share of tokens
    perplexity_ratio: Estimate | None = None  # to the baseline's
    against_floor: AgainstFloor | None = None  # None: no floor was measured

    @property
    def compared(self) -> bool:
        return self.mean_kl is not None

    @property
    def verdict(self) -> str:
        """What the distance says against the floor, in plain words."""
        if self.is_floor:
            return "noise floor"
        if not self.compared:
            return "the baseline"
        return "no floor measured" if self.against_floor is None else str(self.against_floor)


def distances(results: Rows) -> tuple[MethodDistance, ...]:
    """The rows' distances in their order, those shown for scale, then the noise floor's."""
    confidence = confidences(results.baseline.record if results.baseline else None)
    floors = _measured(
        ((record, floor_label(record)) for record in results.floors), confidence, is_floor=True
    )
    named = [(row.record, row.label) for row in results.rows]
    named += [(record, scale_label(record)) for record in results.context]
    rows = _measured(named, confidence)
    return (*(replace(row, against_floor=against(row, floors)) for row in rows), *floors)


def floor_label(record: Record) -> str:
    """How a rerun of the baseline is named: `fp16 again, batch 31`."""
    return f"{record.method} again, batch {record.trial.generation.batch_size}"


def scale_label(record: Record) -> str:
    """How another number format of the baseline is named: `bf16 (for scale)`."""
    return f"{record.method} (for scale)"


def against(row: MethodDistance, floors: Sequence[MethodDistance]) -> AgainstFloor | None:
    """Within: no larger than the largest rerun's. Beyond: above all that the reruns are compatible with."""
    reruns = [floor.mean_kl for floor in floors if floor.mean_kl is not None]
    if row.mean_kl is None or not reruns:
        return None
    if row.mean_kl.value <= max(rerun.value for rerun in reruns):
        return AgainstFloor.WITHIN
    limit = max(rerun.interval.high if rerun.interval else rerun.value for rerun in reruns)
    least = row.mean_kl.interval.low if row.mean_kl.interval else row.mean_kl.value
    return AgainstFloor.BEYOND if least > limit else AgainstFloor.UNDECIDED


Confidences = Mapping[str, tuple[float, ...]]


def confidences(baseline: Record | None) -> Confidences:
    """Problem -> how sure the baseline was at each token; empty where it was not recorded."""
    if baseline is None or baseline.distance is None:
        return {}
    return {p.task_id: p.confidence for p in baseline.distance.problems if p.confidence}


def _measured(
    records: Iterable[tuple[Record, str]], confidence: Confidences, *, is_floor: bool = False
) -> list[MethodDistance]:
    found = (measure(record, label, confidence, is_floor=is_floor) for record, label in records)
    return [entry for entry in found if entry is not None]


def measure(
    record: Record, label: str, confidence: Confidences, *, is_floor: bool = False
) -> MethodDistance | None:
    """A record's distance; None where it has none."""
    distance = record.distance
    if distance is None or not distance.problems:
        return None
    tokens = [float(problem.tokens) for problem in distance.problems]
    perplexity = exponential_of_ratio([problem.nll for problem in distance.problems], tokens)
    row = MethodDistance(
        label=label,
        text=distance.text,
        top_k=distance.top_k,
        problems=len(tokens),
        tokens=int(sum(tokens)),
        is_floor=is_floor,
        perplexity=perplexity,
    )
    if not any(problem.kl for problem in distance.problems):
        return row
    return _by_confidence(_compare(row, distance, tokens), distance.problems, confidence)


def _compare(row: MethodDistance, distance: Distance, tokens: Sequence[float]) -> MethodDistance:
    problems = distance.problems
    divergences = [problem.kl for problem in problems]
    tail = clustered_quantile(divergences, 0.99) if len(problems) >= FEWEST_FOR_TAIL else None
    return replace(
        row,
        mean_kl=skewed_ratio_of_sums([sum(kl) for kl in divergences], tokens),
        median_kl=clustered_quantile(divergences, 0.5),
        p90_kl=clustered_quantile(divergences, 0.9),
        p99_kl=tail,
        same_top=clustered_share([p.same_top for p in problems], [p.tokens for p in problems]),
        perplexity_ratio=exponential_of_ratio([p.nll - p.baseline_nll for p in problems], tokens),
    )


def _by_confidence(
    row: MethodDistance, problems: Sequence[ProblemDistance], confidence: Confidences
) -> MethodDistance:
    """The mean over tokens at which the baseline is sure, and over the others."""
    if any(len(confidence.get(p.task_id, ())) != len(p.kl) for p in problems):
        return row
    sides: dict[bool, list[list[float]]] = {True: [], False: []}
    for problem in problems:
        pairs = list(zip(problem.kl, confidence[problem.task_id], strict=True))
        for sure, side in sides.items():
            side.append([kl for kl, p in pairs if (p >= SURE) is sure])
    counts = {sure: sum(map(len, side)) for sure, side in sides.items()}
    return replace(
        row,
        sure_kl=_mean(sides[True]) if counts[True] else None,
        unsure_kl=_mean(sides[False]) if counts[False] else None,
        sure_share=counts[True] / sum(counts.values()),
    )


def _mean(values: Sequence[Sequence[float]]) -> Estimate:
    return skewed_ratio_of_sums([sum(part) for part in values], [float(len(part)) for part in values])
