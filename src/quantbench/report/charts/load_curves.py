"""Throughput against latency as a picture: a panel for the first token, one for the others, a line a row."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from quantbench.analysis import Analysis, Load, LoadCurve, LoadPoint
from quantbench.report.charts.encoding import colour_of, symbol_of
from quantbench.report.charts.style import GRID, QUIET, WIDTH, ChartFigure, set_titles, short_name, styled

MARKERS = {"circle": "o", "square": "s", "diamond": "D", "triangle-up": "^", "triangle-down": "v"}
PANELS = (("Time to first token (ms)", "ttft_s"), ("Time per output token (ms)", "tpot_s"))
LINES: tuple[Literal["-"], Literal[":"]] = ("-", ":")  # of the shares: median, 99th percentile
WIDE = 20  # times: from there on an axis is logarithmic


def draw_load(analysis: Analysis, kind: Load) -> ChartFigure:
    """All rows under one kind of load; a number beside a point is its load."""
    curves = [curve for curve in analysis.curves if curve.kind is kind]
    places = {row.label: place for place, row in enumerate(analysis.results.rows)}
    with styled():
        figure = ChartFigure(figsize=(WIDTH, 4.1 + 0.2 * len(curves)), layout="constrained")
        FigureCanvasAgg(figure)
        panels = figure.subplots(1, len(PANELS), sharey=True)
        for axes, (name, pick) in zip(panels, PANELS, strict=True):
            for curve in curves:
                draw_curve(axes, curve, pick, places[curve.label])
            points = [point for curve in curves for point in curve.points]
            finish(axes, name, [seconds for point in points for seconds in getattr(point, pick)])
        panels[0].set_ylabel("New tokens a second, all requests")
        subtitle = f"{short_name(analysis.results.model_name)}, up and to the left is better"
        set_titles(panels[0], f"Throughput against latency, {kind}", subtitle)
        figure.legend(handles=list(legend(curves, places)), loc="outside lower left", frameon=False, ncols=2)
        return figure


def draw_curve(axes: Axes, curve: LoadCurve, pick: str, place: int) -> None:
    """One row in one panel: a line for each share, the loads beside the median's points."""
    colour, marker = colour_of(place), MARKERS[symbol_of(place)]
    rates = [point.tokens_per_s for point in curve.points]
    for share, line in enumerate(LINES):
        times = [milliseconds(point, pick)[share] for point in curve.points]
        fill = colour if share == 0 else "white"
        axes.plot(times, rates, line, color=colour, marker=marker, markersize=6, markerfacecolor=fill)
    for point in curve.points:
        where = (milliseconds(point, pick)[0], point.tokens_per_s)
        near: dict[str, Any] = {"xytext": (-4, 5), "textcoords": "offset points", "ha": "right"}
        axes.annotate(f"{point.load:g}", where, color=colour, fontsize=8.5, **near)


def milliseconds(point: LoadPoint, pick: str) -> Sequence[float]:
    """A point's times at each share."""
    return [1000 * seconds for seconds in getattr(point, pick)]


def finish(axes: Axes, name: str, seconds: Sequence[float]) -> None:
    """Axes, ticks and grid of one panel."""
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.set_xlabel(name)
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_ylim(bottom=0)
    if min(seconds) > 0 and max(seconds) > WIDE * min(seconds):
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))  # no math: see SETTINGS
    else:
        axes.set_xlim(left=0)
    axes.margins(x=0.12, y=0.12)


def legend(curves: Sequence[LoadCurve], places: dict[str, int]) -> Iterator[Line2D]:
    """A line a row, then what the two kinds of lines mean."""
    for curve in curves:
        place = places[curve.label]
        marker = MARKERS[symbol_of(place)]
        yield Line2D([], [], color=colour_of(place), marker=marker, label=short_name(curve.label, 40))
    shares = ((LINES[0], QUIET, "median of requests"), (LINES[1], "white", "99th percentile"))
    for line, fill, label in shares:
        yield Line2D([], [], linestyle=line, color=QUIET, marker="o", markerfacecolor=fill, label=label)
