"""The words around a bar chart: title, which direction is better, and what the axis counts."""

from dataclasses import dataclass

from quantbench.analysis import MEMORY, SIZE, SPEED, Metric, Rows, inside_noise, read_row
from quantbench.report.charts.style import short_name

SAME = "every run of the baseline gave the same score"
SHADED = "shaded: where runs of the baseline itself lie"


@dataclass(frozen=True, slots=True, kw_only=True)
class Captions:
    title: str
    subtitle: str
    axis: str


def captions_of(results: Rows, metric: Metric, unit: str) -> Captions:
    """The captions of one metric's chart; `unit` is the axis' unit."""
    return Captions(
        title=f"{_name(results, metric)} by method",
        subtitle=", ".join([short_name(results.model_name), *_remarks(results, metric)]),
        axis=_axis(results, metric, unit),
    )


def _name(results: Rows, metric: Metric) -> str:
    return "GPU memory" if metric is MEMORY and results.on_gpu else metric.name


def _remarks(results: Rows, metric: Metric) -> list[str]:
    remarks = ["less is better" if metric.lower_is_better else "more is better"]
    rows = [row for row in results.rows if metric.value(row) is not None]
    if len(rows) > 1 and inside_noise(metric, results, rows):
        remarks.append("no difference is shown")
    return remarks


def _axis(results: Rows, metric: Metric, unit: str) -> str:
    if metric is SIZE:
        return f"Weights in memory ({unit})"
    if metric is MEMORY:
        what = (
            "Allocator's peak while running"
            if results.on_gpu
            else "Peak resident set of the process while running"
        )
        return f"{what} ({unit})"
    if metric is SPEED:
        return _speed_axis(results, unit)
    return _score_axis(results, metric)


def _speed_axis(results: Rows, unit: str) -> str:
    point = next((row.speed for row in results.rows if row.speed), None)
    label = f"Decoding, {unit}" + (f" ({point.label} tokens)" if point else "")
    if any(SPEED.interval(row) for row in results.rows):
        label += "\nwhiskers: 95 % interval, or the range of fewer than 6 repetitions"
    return label


def _score_axis(results: Rows, metric: Metric) -> str:
    task = metric.key.partition(":")[2]
    counts = [score.problems for row in results.rows if (score := row.score(task))]
    label = f"pass@1 of {max(counts)} problems; whiskers: 95 % Wilson interval of each score"
    if band := baseline_runs(results, metric):
        label += f"\n{SAME if band[0] == band[1] else SHADED}"
    return label


def baseline_runs(results: Rows, metric: Metric) -> tuple[float, float] | None:
    """The lowest and the highest score of the baseline and its reruns; None without a rerun or a score."""
    if metric in (SIZE, SPEED, MEMORY):
        return None
    runs = [read_row(record, is_baseline=True) for record in results.floors]
    values = [value for run in runs if (value := metric.value(run)) is not None]
    own = metric.value(results.baseline) if results.baseline else None
    if not values or own is None:
        return None
    return min(own, *values), max(own, *values)
