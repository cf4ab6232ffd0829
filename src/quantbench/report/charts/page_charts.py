"""The page's charts as plain data: axes with a value and an interval for each method, and sweep curves.

The page's script draws them; it computes nothing but the positions and the front of two axes.
"""

from collections.abc import Sequence
from typing import Any

from quantbench.analysis import (
    MEMORY,
    SIZE,
    Analysis,
    LoadPoint,
    MedianEstimate,
    Metric,
    Row,
    Rows,
    read_score,
    score_metric,
)
from quantbench.report.charts import loads_of
from quantbench.report.columns import byte_column
from quantbench.stats import Interval

Values = list[float | None]


def chart_data(analysis: Analysis) -> dict[str, Any]:
    """Everything that the script needs; `null` is not measured."""
    rows = analysis.results.rows
    axes = [
        _axis(metric, rows, analysis.results.on_gpu) | {"floors": _rerun_scores(metric, analysis.results)}
        for metric in analysis.metrics
    ]
    if distance := _distance_axis(analysis):
        axes.append(distance)
    return {
        "methods": [{"label": row.label, "baseline": row.is_baseline} for row in rows],
        "axes": axes,
        "sweeps": _sweeps(rows),
        "loads": _loads(analysis),
    }


def _axis(metric: Metric, rows: Sequence[Row], on_gpu: bool) -> dict[str, Any]:
    values = [metric.value(row) for row in rows]
    unit, divisor = metric.unit, 1.0
    if metric.unit == "B":
        column = byte_column([None if value is None else int(value) for value in values])
        unit, divisor = column.unit, column.divisor
    name = "GPU memory" if metric is MEMORY and on_gpu else metric.name
    return {
        "key": metric.key,
        "name": f"{name} ({unit})" if unit else name,
        "cost": metric in (SIZE, MEMORY),
        "fromZero": True,
        "lowerIsBetter": metric.lower_is_better,
        "values": [None if value is None else value / divisor for value in values],
        **_ends([metric.interval(row) for row in rows], divisor),
    }


def _rerun_scores(metric: Metric, results: Rows) -> list[float]:
    """What reruns of the baseline scored on this metric, where it is a task's."""
    scores = [score for record in results.floors for task in record.tasks if (score := read_score(task))]
    return [score.pass_at_1 for score in scores if metric.key == score_metric(score.task).key]


def _distance_axis(analysis: Analysis) -> dict[str, Any] | None:
    """Mean KL of the methods, with the noise floor as a line; the baseline has none."""
    found = {entry.label: entry.mean_kl for entry in analysis.distances if not entry.is_floor}
    estimates = [found.get(row.label) for row in analysis.results.rows]
    if not any(estimates):
        return None
    return {
        "key": "kl",
        "name": "Mean KL from the baseline (nats)",
        "cost": False,
        "fromZero": False,
        "lowerIsBetter": True,
        "values": [estimate.value if estimate else None for estimate in estimates],
        "floors": [row.mean_kl.value for row in analysis.distances if row.is_floor and row.mean_kl],
        **_ends([estimate.interval if estimate else None for estimate in estimates], 1.0),
    }


def _ends(intervals: Sequence[Interval | None], divisor: float) -> dict[str, Values]:
    return {
        "low": [interval.low / divisor if interval else None for interval in intervals],
        "high": [interval.high / divisor if interval else None for interval in intervals],
    }


def _sweeps(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """One chart a prompt length and measure, only where a method has at least two batch sizes."""
    prompts = dict.fromkeys(speed.prompt_tokens for row in rows for speed in row.sweep)
    charts = []
    for prompt in prompts:
        for name, pick, factor in MEASURES:
            series = [_curve(row, prompt, pick, factor) for row in rows]
            if max((len(points) for points in series), default=0) > 1:
                charts.append({"name": f"{name}, prompt of {prompt} tokens", "series": series})
    return charts


def _loads(analysis: Analysis) -> list[dict[str, Any]]:
    """Throughput against latency: a chart for each kind of load and time."""
    places = {row.label: place for place, row in enumerate(analysis.results.rows)}
    return [
        {
            "name": f"{title}, {kind}",
            "x": f"{title} (ms)",
            "load": str(kind),
            "series": [
                {"index": places[curve.label], "points": [_load_point(point, pick) for point in curve.points]}
                for curve in analysis.curves
                if curve.kind is kind
            ],
        }
        for kind in loads_of(analysis)
        for title, pick in (("Time to first token", "ttft_s"), ("Time per output token", "tpot_s"))
    ]


def _load_point(point: LoadPoint, pick: str) -> dict[str, Any]:
    times = [1000 * seconds for seconds in getattr(point, pick)]
    return {"load": point.load, "rate": point.tokens_per_s, "times": times, "requests": point.requests}


MEASURES: tuple[tuple[str, str, float], ...] = (
    ("Decode speed (tokens/s of the whole batch)", "decode", 1.0),
    ("Prefill speed (tokens/s of the whole batch)", "prefill", 1.0),
    ("Time to first token (ms)", "ttft_s", 1000.0),
    ("Time per output token (ms)", "tpot_s", 1000.0),
)


def _curve(row: Row, prompt: int, pick: str, factor: float) -> list[list[float | None]]:
    """[batch size, value, low, high] of each point, smallest batch first."""
    points = []
    for speed in sorted(row.sweep, key=lambda speed: speed.batch_size):
        estimate: MedianEstimate | None = getattr(speed, pick)
        if speed.prompt_tokens != prompt or estimate is None:
            continue
        ends = estimate.interval
        low, high = (ends.low * factor, ends.high * factor) if ends else (None, None)
        points.append([float(speed.batch_size), estimate.value * factor, low, high])
    return points
