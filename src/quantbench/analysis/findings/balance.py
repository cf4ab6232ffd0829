"""The reference's rule for the best overall balance: the mean of min-max normalised size, speed and pass@1.

1 is the best of the compared methods, 0 the worst. Several tasks count as one part, their mean. Memory is
not part of the rule: it follows size.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from quantbench.analysis.comparison.comparisons import Verdict
from quantbench.analysis.comparison.metrics import SIZE, SPEED, Metric, score_metrics
from quantbench.analysis.comparison.rows import Row, Rows

EQUAL = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """Scores between 0 and 1 of the rows that have every part, best first."""

    parts: tuple[str, ...]  # 'size', 'speed', 'pass@1': those on which the rows differ
    totals: tuple[tuple[Row, float], ...]
    left_out: tuple[Row, ...]  # rows without all parts

    @property
    def best(self) -> tuple[Row, ...]:
        """The row with the highest total, and every other one that equals it."""
        return tuple(row for row, total in self.totals if abs(total - self.totals[0][1]) < EQUAL)


def normalise(metric: Metric, rows: Sequence[Row]) -> dict[str, float] | None:
    """Label -> 0 (worst) to 1 (best) of the rows that have a figure; None where all are equal."""
    values = {row.label: value for row in rows if (value := metric.value(row)) is not None}
    if not values or max(values.values()) == min(values.values()):
        return None
    low, high = min(values.values()), max(values.values())
    scaled = {label: (value - low) / (high - low) for label, value in values.items()}
    return {label: 1 - share for label, share in scaled.items()} if metric.lower_is_better else scaled


def balance_of(results: Rows, *, without_noise: bool = False) -> Balance | None:
    """The totals; `without_noise` leaves out metrics on which no two rows are shown to differ."""
    groups = {
        "size": [SIZE],
        "speed": [SPEED],
        "pass@1": list(score_metrics(results)),
    }
    asked = [metric for group in groups.values() for metric in group if _any(metric, results.rows)]
    rows = [row for row in results.rows if all(metric.value(row) is not None for metric in asked)]
    if len(rows) < 2:
        return None
    parts = {}
    for name, group in groups.items():
        used = [m for m in group if m in asked and not (without_noise and inside_noise(m, results, rows))]
        scaled = [values for metric in used if (values := normalise(metric, rows))]
        if scaled:
            parts[name] = {row.label: sum(v[row.label] for v in scaled) / len(scaled) for row in rows}
    if not parts:
        return None
    totals = [(row, sum(p[row.label] for p in parts.values()) / len(parts)) for row in rows]
    totals.sort(key=lambda pair: (-round(pair[1], 9), not pair[0].is_baseline))
    return Balance(
        parts=tuple(parts),
        totals=tuple(totals),
        left_out=tuple(row for row in results.rows if row not in rows),
    )


def inside_noise(metric: Metric, results: Rows, rows: Sequence[Row]) -> bool:
    """Whether no two rows are shown to differ on this metric."""
    pairs = combinations(rows, 2)
    return all(results.compare(metric.key, a, b).verdict is not Verdict.SIGNIFICANT for a, b in pairs)


def _any(metric: Metric, rows: Sequence[Row]) -> bool:
    return any(metric.value(row) is not None for row in rows)
