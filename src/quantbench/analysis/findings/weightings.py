"""How much the best overall balance hangs on taste: under which share of all weightings each method wins.

The parts are size, memory, speed and quality, each scaled from 0 (worst) to 1 (best) as in `balance`. All
weightings are equally likely (evenly spread over the simplex); the sample is fixed, so that a report
rendered again shows the same shares. A part on which no two methods are shown to differ is left out: scaled
to 0 and 1, its noise would decide.
"""

from dataclasses import dataclass

from quantbench.analysis.comparison.losses import without_refused
from quantbench.analysis.comparison.metrics import MEMORY, SIZE, SPEED, Metric, score_metric
from quantbench.analysis.comparison.rows import Rows
from quantbench.analysis.findings.balance import inside_noise, normalise

SAMPLE = 20_000  # shares are right to about half a point
SEED = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Weightings:
    """Labels with their shares, largest first; they sum to 1."""

    parts: tuple[str, ...]  # those on which methods differ beyond noise
    noise: tuple[str, ...]  # those that were left out
    shares: tuple[tuple[str, float], ...]
    left_out: tuple[str, ...] = ()  # labels of measured methods that lack a part
    refused: tuple[str, ...] = ()  # labels of methods whose loss is proven and not tolerated


def win_shares(everything: Rows) -> Weightings | None:
    """None where fewer than two methods have all parts, or no part tells any two apart.

    A method whose loss is refused wins under no weighting.
    """
    results = without_refused(everything)
    groups: dict[str, list[Metric]] = {
        "size": [SIZE],
        "memory": [MEMORY],
        "speed": [SPEED],
        "quality": [score_metric(task) for task in results.tasks],
    }
    measured = {
        name: [metric for metric in group if any(metric.value(row) is not None for row in results.rows)]
        for name, group in groups.items()
    }
    asked = [metric for group in measured.values() for metric in group]
    rows = [row for row in results.rows if all(metric.value(row) is not None for metric in asked)]
    parts: dict[str, list[float]] = {}
    for name, group in measured.items():
        real = [metric for metric in group if not inside_noise(metric, results, rows)]
        scaled = [values for metric in real if (values := normalise(metric, rows))]
        if scaled:
            parts[name] = [sum(values[row.label] for values in scaled) / len(scaled) for row in rows]
    noise = tuple(name for name, group in measured.items() if group and name not in parts)
    if len(rows) < 2 or not parts:
        return None
    shares = _shares(list(parts.values()))
    ranked = sorted(zip((row.label for row in rows), shares, strict=True), key=lambda pair: -pair[1])
    return Weightings(
        parts=tuple(parts),
        noise=noise,
        shares=tuple(ranked),
        left_out=tuple(row.label for row in results.rows if row.measured and row not in rows),
        refused=tuple(row.label for row in everything.rows if row not in results.rows),
    )


def _shares(parts: list[list[float]]) -> list[float]:
    """Share of weightings that each column wins; `parts` is [parts][methods], ties are divided."""
    import numpy as np

    scores = np.asarray(parts, dtype=np.float64)
    weights = np.random.default_rng(SEED).dirichlet(np.ones(len(parts)), SAMPLE)
    totals = weights @ scores
    wins = totals >= totals.max(axis=1, keepdims=True) - 1e-12
    shares: list[float] = (wins / wins.sum(axis=1, keepdims=True)).mean(axis=0).tolist()
    return shares
