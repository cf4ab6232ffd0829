"""The figures that methods are compared by: how each is read, shown and told apart. One definition each."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from quantbench.analysis.noise import (
    Call,
    Verdict,
    compare_memory,
    compare_responses,
    compare_scores,
    compare_sizes,
    compare_speeds,
)
from quantbench.analysis.paired import adjusted_chances
from quantbench.analysis.rows import Results, Row
from quantbench.analysis.scores import task_title
from quantbench.analysis.wording import significant
from quantbench.stats import Interval
from quantbench.units import show_bytes, show_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One figure of a row."""

    key: str
    name: str
    unit: str  # of `value`; empty for a share
    lower_is_better: bool
    value: Callable[[Row], float | None]
    interval: Callable[[Row], Interval | None]
    compare: Callable[[Row, Row], Verdict]
    show: Callable[[float], str]

    def better(self, one: float, other: float) -> bool:
        return one < other if self.lower_is_better else one > other


@dataclass(frozen=True, slots=True, kw_only=True)
class Lead:
    """Who is ahead on a metric."""

    best: Row
    value: float
    tied: tuple[Row, ...]  # cannot be told apart from the best
    unsure: tuple[Row, ...]  # nothing can be said, for want of repetitions
    behind: tuple[Row, ...]  # really worse, best first

    @property
    def rivals(self) -> tuple[Row, ...]:
        """Everyone who may be as good as the best."""
        return self.tied + self.unsure


def metrics_of(results: Results) -> tuple[Metric, ...]:
    """The metrics that at least one row has a figure for, in the report's order."""
    known = (SIZE, SPEED, MEMORY, *score_metrics(results))
    return tuple(metric for metric in known if any(metric.value(row) is not None for row in results.rows))


def find_lead(metric: Metric, rows: Sequence[Row]) -> Lead | None:
    """The best row and who ties with it; None without any figure. The baseline wins equal figures."""
    valued = [(value, row) for row in rows if (value := metric.value(row)) is not None]
    if not valued:
        return None
    sign = 1 if metric.lower_is_better else -1
    valued.sort(key=lambda pair: (sign * pair[0], not pair[1].is_baseline))
    (value, best), *others = valued
    calls = [(metric.compare(best, row).call, row) for _, row in others]
    groups = {call: tuple(row for found, row in calls if found is call) for call in Call}
    return Lead(
        best=best,
        value=value,
        tied=groups[Call.TOGETHER],
        unsure=groups[Call.UNKNOWN],
        behind=groups[Call.APART],
    )


def _no_interval(row: Row) -> Interval | None:
    return None


def _decode(row: Row) -> float | None:
    return row.speed.decode.value if row.speed and row.speed.decode else None


def _decode_interval(row: Row) -> Interval | None:
    return row.speed.decode.interval if row.speed and row.speed.decode else None


def _response(row: Row) -> float | None:
    return row.speed.response_s.value if row.speed and row.speed.response_s else None


def _response_interval(row: Row) -> Interval | None:
    return row.speed.response_s.interval if row.speed and row.speed.response_s else None


def _pass_at_1(task: str, row: Row) -> float | None:
    score = row.score(task)
    return score.pass_at_1 if score else None


def _pass_interval(task: str, row: Row) -> Interval | None:
    score = row.score(task)
    return score.interval if score else None


def score_metrics(results: Results) -> tuple[Metric, ...]:
    """pass@1 on each task; comparisons with the baseline are corrected for how many there are."""
    adjusted = adjusted_chances(results)
    return tuple(score_metric(task, adjusted) for task in results.tasks)


def score_metric(task: str, adjusted: Mapping[tuple[str, str], float] | None = None) -> Metric:
    """pass@1 on one task; without `adjusted` every comparison stands for itself."""
    return Metric(
        key=f"pass@1:{task}",
        name=f"{task_title(task)} pass@1",
        unit="",
        lower_is_better=False,
        value=partial(_pass_at_1, task),
        interval=partial(_pass_interval, task),
        compare=partial(compare_scores, task, adjusted=adjusted),
        show=lambda value: f"{value:.3f}",
    )


SIZE = Metric(
    key="size",
    name="Model size",
    unit="B",
    lower_is_better=True,
    value=lambda row: row.weight_bytes,
    interval=_no_interval,
    compare=compare_sizes,
    show=lambda value: show_bytes(int(value)),
)
SPEED = Metric(
    key="speed",
    name="Inference speed",
    unit="tokens/s",
    lower_is_better=False,
    value=_decode,
    interval=_decode_interval,
    compare=compare_speeds,
    show=lambda value: f"{significant(value)} tokens/s",
)
MEMORY = Metric(
    key="memory",
    name="Memory",
    unit="B",
    lower_is_better=True,
    value=lambda row: row.memory_bytes,
    interval=_no_interval,
    compare=compare_memory,
    show=lambda value: show_bytes(int(value)),
)
RESPONSE = Metric(
    key="response",
    name="Response time",
    unit="s",
    lower_is_better=True,
    value=_response,
    interval=_response_interval,
    compare=compare_responses,
    show=show_seconds,
)
