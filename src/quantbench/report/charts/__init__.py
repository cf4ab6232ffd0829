"""The PNG pictures of a report, drawn on matplotlib's Agg canvas; it is imported on first use."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from quantbench.analysis import MEMORY, SIZE, SPEED, Analysis, Load, Metric, inside_noise

if TYPE_CHECKING:
    from quantbench.report.charts.style import ChartFigure

HEATMAP = "normalized_metrics_heatmap.png"
FILES = {
    SIZE.key: "model_size_comparison.png",
    SPEED.key: "inference_speed_comparison.png",
    MEMORY.key: "memory_usage_comparison.png",
}

LOADS = {
    Load.CONCURRENCY: "throughput_latency_concurrency.png",
    Load.RATE: "throughput_latency_rates.png",
}


def file_of(key: str) -> str:
    """The picture of a metric; a task's score has the task in its name."""
    return FILES.get(key) or f"{key.partition(':')[2]}_pass_at_1_comparison.png"


def pictured(analysis: Analysis) -> tuple[Metric, ...]:
    """The metrics with a picture of bars: those that were measured, the reference's three first."""
    scores = (metric for metric in analysis.metrics if metric.key not in FILES)
    return (*(metric for metric in (SIZE, SPEED, MEMORY) if metric in analysis.metrics), *scores)


def loads_of(analysis: Analysis) -> tuple[Load, ...]:
    """The kinds of load that have a picture of throughput against latency."""
    kinds = {curve.kind for curve in analysis.curves}
    return tuple(kind for kind in Load if kind in kinds)


def has_heatmap(analysis: Analysis) -> bool:
    """Whether there is something to compare: at least two methods and a metric on which two differ."""
    results = analysis.results
    return any(
        len(rows) > 1 and not inside_noise(metric, results, rows)
        for metric in analysis.metrics
        if (rows := [row for row in results.rows if metric.value(row) is not None])
    )


def charts_of(analysis: Analysis) -> "list[tuple[str, Callable[[], ChartFigure]]]":
    """File name of every picture and what draws it; nothing when nothing was measured."""
    if not analysis.metrics:
        return []
    from quantbench.report.charts.bars import draw_bars
    from quantbench.report.charts.heatmap import draw_heatmap
    from quantbench.report.charts.load_curves import draw_load

    results = analysis.results
    found: list[tuple[str, Callable[[], ChartFigure]]] = [
        (file_of(metric.key), partial(draw_bars, results, metric)) for metric in pictured(analysis)
    ]
    if has_heatmap(analysis):
        found.append((HEATMAP, partial(draw_heatmap, analysis)))
    return found + [(LOADS[kind], partial(draw_load, analysis, kind)) for kind in loads_of(analysis)]


def draw_charts(analysis: Analysis) -> "Iterator[tuple[str, ChartFigure]]":
    """File name and figure of every picture."""
    for file, draw in charts_of(analysis):
        yield file, draw()
