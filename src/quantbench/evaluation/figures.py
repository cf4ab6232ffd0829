"""pass@k of scored samples with its interval: pure functions of verdicts by problem."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from quantbench.stats import Interval, clustered_share, pass_at_k, wilson_interval

USUAL_K = (1, 10, 100)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """The mean over problems of the unbiased pass@k; no interval where there are too few problems."""

    k: int
    value: float
    interval: Interval | None


def figures(verdicts: Mapping[str, Sequence[bool]], ks: Sequence[int] | None = None) -> list[Figure]:
    """pass@k for each k that every problem has samples for; `ks` are the usual ones unless given."""
    fewest = min(len(passed) for passed in verdicts.values())
    return [_figure(verdicts, k) for k in ks or USUAL_K if k <= fewest]


def _figure(verdicts: Mapping[str, Sequence[bool]], k: int) -> Figure:
    values = [pass_at_k(len(passed), sum(passed), k) for passed in verdicts.values()]
    value = sum(values) / len(values)
    if all(len(passed) == 1 for passed in verdicts.values()):
        return Figure(k=k, value=value, interval=wilson_interval(int(sum(values)), len(values)))
    # Problems are what is drawn: the samples of one are not independent of each other.
    estimate = clustered_share(values, [1] * len(values))  # type: ignore[arg-type]
    return Figure(k=k, value=value, interval=estimate.interval)
