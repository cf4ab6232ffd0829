"""One metric as horizontal bars: a bar a method with its figure, its ratio to the baseline, its interval."""

from dataclasses import dataclass

from matplotlib.axes import Axes

from quantbench.analysis import Metric, Row, Rows
from quantbench.analysis.formatting import ratio
from quantbench.report.charts.captions import baseline_runs, captions_of
from quantbench.report.charts.encoding import colour_of
from quantbench.report.charts.style import (
    BAND,
    GRID,
    INTERVAL,
    QUIET,
    ChartFigure,
    new_figure,
    row_label,
    set_titles,
    styled,
)
from quantbench.report.columns import NumberColumn, metric_column

LIFT = 9.0  # points
PLATE = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}  # keeps grid lines out of the text


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One row as drawn; values in the axis' unit."""

    label: str
    value: float | None
    text: str
    low: float = 0.0  # lengths of the interval's two arms
    high: float = 0.0


def draw_bars(results: Rows, metric: Metric) -> ChartFigure:
    """One metric; a method without a figure keeps its line and says so."""
    bars = make_bars(results, metric)
    column = metric_column(metric, results.rows)
    with styled():
        figure, axes = new_figure(1.5 + 0.46 * len(bars))
        captions = captions_of(results, metric, column.unit)
        set_titles(axes, captions.title, captions.subtitle)
        _draw(axes, bars)
        if band := baseline_runs(results, metric):
            axes.axvspan(*band, color=BAND, alpha=0.3, linewidth=0, zorder=0.4)
        if not metric.unit:
            axes.set_xticks([tick for tick in axes.get_xticks() if tick <= 1])  # a share ends at 1
        axes.set_xlabel(captions.axis)
        return figure


def make_bars(results: Rows, metric: Metric) -> list[Bar]:
    """One bar a row, in the rows' order."""
    column = metric_column(metric, results.rows)
    return [_bar(row, results.baseline, metric, column) for row in results.rows]


def _bar(row: Row, baseline: Row | None, metric: Metric, column: NumberColumn) -> Bar:
    label = row_label(row)
    value, interval = metric.value(row), metric.interval(row)
    if value is None:
        return Bar(label=label, value=None, text="not measured")
    text = f"{column.show(value)} {column.unit}".strip()
    reference = metric.value(baseline) if baseline and not row.is_baseline else None
    if reference:
        text += f"  ({ratio(value, reference)})"
    return Bar(
        label=label,
        value=value / column.divisor,
        text=text,
        low=(value - interval.low) / column.divisor if interval else 0.0,
        high=(interval.high - value) / column.divisor if interval else 0.0,
    )


def _draw(axes: Axes, bars: list[Bar]) -> None:
    largest = max((bar.value + bar.high for bar in bars if bar.value is not None), default=0.0) or 1.0
    for place, bar in enumerate(bars):
        if bar.value is None:
            axes.text(0.01 * largest, place, bar.text, va="center", color=QUIET, style="italic")
            continue
        axes.barh(place, bar.value, height=0.62, color=colour_of(place))
        if bar.low or bar.high:
            _draw_interval(axes, place, bar.value, [[bar.low], [bar.high]])
        above = LIFT if bar.low or bar.high else 0.0  # the figure stands at the bar's end, over the whisker
        axes.annotate(
            bar.text, (bar.value, place), (5, above), textcoords="offset points", va="center", bbox=PLATE
        )
    axes.set_yticks(range(len(bars)), [bar.label for bar in bars])
    axes.set_ylim(len(bars) - 0.5, -0.5)
    axes.set_xlim(0, 1.38 * largest)
    axes.grid(axis="x", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)


def _draw_interval(axes: Axes, place: int, value: float, arms: list[list[float]]) -> None:
    """A whisker that is seen on a dark bar as well as beside it."""
    for colour, width in (("white", 3.4), (INTERVAL, 1.4)):
        axes.errorbar(
            value, place, xerr=arms, color=colour, capsize=4, linewidth=width, capthick=width, fmt="none"
        )
