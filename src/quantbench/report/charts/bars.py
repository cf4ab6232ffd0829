"""One metric as horizontal bars: a bar a method with its figure, its ratio to the baseline, its interval."""

from dataclasses import dataclass

from matplotlib.axes import Axes

from quantbench.analysis import Metric, Results, Row
from quantbench.analysis.metrics import MEMORY, SIZE, SPEED
from quantbench.analysis.wording import ratio
from quantbench.report.charts.style import (
    BAR,
    BASELINE_BAR,
    GRID,
    INTERVAL,
    QUIET,
    new_figure,
    row_label,
    set_titles,
    short_name,
    styled,
    to_png,
)
from quantbench.report.columns import NumberColumn, metric_column

PLATE = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}  # keeps grid lines out of the text
BARS = (
    ("model_size_comparison.png", SIZE),
    ("inference_speed_comparison.png", SPEED),
    ("memory_usage_comparison.png", MEMORY),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One row as drawn; values in the axis' unit."""

    label: str
    value: float | None
    text: str
    low: float = 0.0  # lengths of the interval's two arms
    high: float = 0.0
    is_baseline: bool = False


def draw_bars(results: Results, metric: Metric) -> bytes:
    """PNG of one metric; a method without a figure keeps its line and says so."""
    bars = make_bars(results, metric)
    column = metric_column(metric, results.rows)
    with styled():
        figure, axes = new_figure(1.5 + 0.46 * len(bars))
        set_titles(axes, _title(results, metric), _subtitle(results, metric))
        _draw(axes, bars)
        axes.set_xlabel(_axis(results, metric, column))
        return to_png(figure)


def make_bars(results: Results, metric: Metric) -> list[Bar]:
    """One bar a row, in the rows' order."""
    column = metric_column(metric, results.rows)
    return [_bar(row, results.baseline, metric, column) for row in results.rows]


def _bar(row: Row, baseline: Row | None, metric: Metric, column: NumberColumn) -> Bar:
    label = row_label(row)
    value, interval = metric.value(row), metric.interval(row)
    if value is None:
        return Bar(label=label, value=None, text="not measured", is_baseline=row.is_baseline)
    text = f"{column.show(value)} {column.unit}"
    reference = metric.value(baseline) if baseline and not row.is_baseline else None
    if reference:
        text += f"  ({ratio(value, reference)})"
    return Bar(
        label=label,
        value=value / column.divisor,
        text=text,
        low=(value - interval.low) / column.divisor if interval else 0.0,
        high=(interval.high - value) / column.divisor if interval else 0.0,
        is_baseline=row.is_baseline,
    )


def _draw(axes: Axes, bars: list[Bar]) -> None:
    largest = max((bar.value + bar.high for bar in bars if bar.value is not None), default=0.0) or 1.0
    for place, bar in enumerate(bars):
        if bar.value is None:
            axes.text(0.01 * largest, place, bar.text, va="center", color=QUIET, style="italic")
            continue
        axes.barh(place, bar.value, height=0.62, color=BASELINE_BAR if bar.is_baseline else BAR)
        if bar.low or bar.high:
            arms = [[bar.low], [bar.high]]
            axes.errorbar(bar.value, place, xerr=arms, color=INTERVAL, capsize=4, linewidth=1.4, fmt="none")
        axes.text(bar.value + bar.high + 0.015 * largest, place, bar.text, va="center", bbox=PLATE)
    _baseline_line(axes, bars)
    axes.set_yticks(range(len(bars)), [bar.label for bar in bars])
    axes.set_ylim(len(bars) - 0.5, -0.5)
    axes.set_xlim(0, 1.38 * largest)
    axes.grid(axis="x", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)


def _baseline_line(axes: Axes, bars: list[Bar]) -> None:
    """A thin line down from the baseline's end, behind the bars."""
    values = [bar.value for bar in bars if bar.is_baseline and bar.value is not None]
    if values and len(bars) > 1:
        axes.axvline(values[0], color=BASELINE_BAR, linewidth=1, linestyle=(0, (4, 3)), zorder=0.5)


def _title(results: Results, metric: Metric) -> str:
    name = "GPU memory" if metric is MEMORY and results.on_gpu else metric.name
    return f"{name} by method"


def _subtitle(results: Results, metric: Metric) -> str:
    direction = "less is better" if metric.lower_is_better else "more is better"
    return f"{short_name(results.model_name)}, {direction}"


def _axis(results: Results, metric: Metric, column: NumberColumn) -> str:
    if metric is SIZE:
        return f"Weights in memory ({column.unit})"
    if metric is MEMORY:
        what = "Allocator's peak while running" if results.on_gpu else "Peak resident set of the process"
        return f"{what} ({column.unit})"
    point = next((row.speed for row in results.rows if row.speed), None)
    label = f"Decoding, {column.unit}" + (f" ({point.label} tokens)" if point else "")
    if any(metric.interval(row) for row in results.rows):
        label += "\nwhiskers: 95 % interval, or the range of fewer than 6 repetitions"
    return label
