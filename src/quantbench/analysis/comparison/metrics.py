"""The figures that methods are compared by: how each is read and shown. `Rows.compare` compares them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from quantbench.analysis.comparison import exact_tests, speed_tests
from quantbench.analysis.comparison.comparisons import Verdict
from quantbench.analysis.comparison.rows import Row, Rows
from quantbench.analysis.comparison.score_tests import score_key
from quantbench.analysis.figures.scores import task_title
from quantbench.analysis.formatting import significant
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
    show: Callable[[float], str]

    def better(self, one: float, other: float) -> bool:
        return one < other if self.lower_is_better else one > other


@dataclass(frozen=True, slots=True, kw_only=True)
class Lead:
    """Who is ahead on a metric."""

    best: Row
    value: float
    tied: tuple[Row, ...]  # compared with the best, and no difference is shown
    unsure: tuple[Row, ...]  # undecided
    behind: tuple[Row, ...]  # really worse, best first

    @property
    def rivals(self) -> tuple[Row, ...]:
        """Everyone who may be as good as the best."""
        return self.tied + self.unsure


def metrics_of(results: Rows) -> tuple[Metric, ...]:
    """The metrics that at least one row has a figure for, in the report's order."""
    known = (SIZE, SPEED, MEMORY, *score_metrics(results))
    return tuple(metric for metric in known if any(metric.value(row) is not None for row in results.rows))


def find_lead(metric: Metric, results: Rows, rows: Sequence[Row] | None = None) -> Lead | None:
    """The best of `rows` (all unless given) and who ties with it; None without any figure.

    The baseline wins equal figures.
    """
    asked = results.rows if rows is None else rows
    valued = [(value, row) for row in asked if (value := metric.value(row)) is not None]
    if not valued:
        return None
    sign = 1 if metric.lower_is_better else -1
    valued.sort(key=lambda pair: (sign * pair[0], not pair[1].is_baseline))
    (value, best), *others = valued
    verdicts = [(results.compare(metric.key, best, row).verdict, row) for _, row in others]
    groups = {verdict: tuple(row for found, row in verdicts if found is verdict) for verdict in Verdict}
    return Lead(
        best=best,
        value=value,
        tied=groups[Verdict.NOT_SIGNIFICANT],
        unsure=groups[Verdict.UNDECIDED],
        behind=groups[Verdict.SIGNIFICANT],
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


def score_metrics(results: Rows) -> tuple[Metric, ...]:
    """pass@1 on each task."""
    return tuple(score_metric(task) for task in results.tasks)


def score_metric(task: str) -> Metric:
    """pass@1 on one task."""
    return Metric(
        key=score_key(task),
        name=f"{task_title(task)} pass@1",
        unit="",
        lower_is_better=False,
        value=partial(_pass_at_1, task),
        interval=partial(_pass_interval, task),
        show=lambda value: f"{value:.3f}",
    )


def _bytes_metric(key: str, name: str, value: Callable[[Row], float | None]) -> Metric:
    return Metric(
        key=key,
        name=name,
        unit="B",
        lower_is_better=True,
        value=value,
        interval=_no_interval,
        show=lambda count: show_bytes(int(count)),
    )


SIZE = _bytes_metric(exact_tests.SIZE, "Model size", lambda row: row.weight_bytes)
MEMORY = _bytes_metric(exact_tests.MEMORY, "Memory", lambda row: row.memory_bytes)
SPEED = Metric(
    key=speed_tests.SPEED,
    name="Inference speed",
    unit="tokens/s",
    lower_is_better=False,
    value=_decode,
    interval=_decode_interval,
    show=lambda value: f"{significant(value)} tokens/s",
)
RESPONSE = Metric(
    key=speed_tests.RESPONSE,
    name="Response time",
    unit="s",
    lower_is_better=True,
    value=_response,
    interval=_response_interval,
    show=show_seconds,
)
