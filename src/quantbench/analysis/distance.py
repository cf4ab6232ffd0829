"""The distance of each method from the baseline over the same tokens, with intervals clustered by problem.

It is far more sensitive than pass@1: every token counts, not only problems whose outcome changes. Whether
a distance matters to a user is not said here, only whether it is larger than the baseline's own noise.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from quantbench.analysis.rows import Results
from quantbench.records import Distance, Record
from quantbench.stats import (
    Estimate,
    clustered_quantile,
    clustered_share,
    exponential_of_ratio,
    positive_ratio_of_sums,
)

TAIL = 0.999


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
    tail_kl: Estimate | None = None  # 99.9th percentile
    same_top: Estimate | None = None  # share of tokens
    perplexity_ratio: Estimate | None = None  # to the baseline's
    within_floor: bool | None = None  # None: no floor was measured

    @property
    def compared(self) -> bool:
        return self.mean_kl is not None


def distances(results: Results) -> tuple[MethodDistance, ...]:
    """The rows' distances in their order, then those of the noise floor."""
    floors = [
        measure(record, floor_label(record, results.baseline_name), is_floor=True)
        for record in results.floors
    ]
    rows = [measure(row.record, row.label) for row in results.rows]
    known_floors = [floor for floor in floors if floor is not None]
    limit = floor_limit(known_floors)
    judged = [_judge(row, limit) for row in rows if row is not None]
    return (*judged, *known_floors)


def floor_label(record: Record, baseline: str) -> str:
    """How a run of the noise floor is named: `fp16 again, batch 31`, `bf16 for fp16, batch 64`."""
    again = "again" if record.method == baseline else f"for {baseline}"
    return f"{record.method} {again}, batch {record.trial.get('batch_size')}"


def floor_limit(floors: Sequence[MethodDistance]) -> float | None:
    """The largest mean divergence that the baseline's own reruns are compatible with."""
    ends = [
        floor.mean_kl.interval.high if floor.mean_kl.interval else floor.mean_kl.value
        for floor in floors
        if floor.mean_kl is not None
    ]
    return max(ends) if ends else None


def measure(record: Record, label: str, *, is_floor: bool = False) -> MethodDistance | None:
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
    return _compare(row, distance, tokens) if any(p.kl for p in distance.problems) else row


def _compare(row: MethodDistance, distance: Distance, tokens: Sequence[float]) -> MethodDistance:
    problems = distance.problems
    divergences = [problem.kl for problem in problems]
    return replace(
        row,
        mean_kl=positive_ratio_of_sums([sum(kl) for kl in divergences], tokens),
        median_kl=clustered_quantile(divergences, 0.5),
        tail_kl=clustered_quantile(divergences, TAIL),
        same_top=clustered_share([p.same_top for p in problems], [p.tokens for p in problems]),
        perplexity_ratio=exponential_of_ratio([p.nll - p.baseline_nll for p in problems], tokens),
    )


def _judge(row: MethodDistance, limit: float | None) -> MethodDistance:
    if limit is None or row.mean_kl is None:
        return row
    least = row.mean_kl.interval.low if row.mean_kl.interval else row.mean_kl.value
    return replace(row, within_floor=least <= limit)
