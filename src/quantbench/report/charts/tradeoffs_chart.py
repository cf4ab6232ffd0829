"""The interactive trade-off chart as the dictionary that Plotly draws; imports no Plotly.

One panel a gain (speed, then pass@1 of each task) over a cost (size or memory, chosen by buttons); a point
a method, with its interval.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from quantbench.analysis import MEMORY, SIZE, SPEED, Analysis, Metric, Row, Rows
from quantbench.analysis.formatting import lower_first
from quantbench.report.charts.encoding import colour_of, symbol_of
from quantbench.report.charts.label_places import place_labels
from quantbench.report.columns import metric_column

INK, GRID = "#222222", "#E3E3E3"

# Pixels. The width is what the page gives the chart; a narrower window only moves labels closer.
PANEL, PANEL_WIDTH = 400, 850
TOP, BOTTOM = 70, 150  # buttons; ticks, title and legend
GAP = 84  # between panels: ticks and title of the upper one
LEGEND = 70  # below the last axis
ROOM = 1.12  # of an axis, beyond its largest figure


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """What one direction shows: values in its unit, one a row, None where not measured."""

    name: str
    title: str
    values: tuple[float | None, ...]
    reach: float  # where the axis ends


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One of the charts under each other, the first on top."""

    number: int
    count: int
    metric: Metric
    axis: Axis

    @property
    def suffix(self) -> str:
        """Plotly calls the axes x, x2, x3, ..."""
        return str(self.number + 1) if self.number else ""

    @property
    def gap(self) -> float:
        """Pixels below it."""
        return GAP if self.number < self.count - 1 else 0


def tradeoff_figure(analysis: Analysis) -> dict[str, Any]:
    """Plotly's `data` and `layout`; no data without a cost, a gain, and two methods to trade them."""
    results = analysis.results
    costs = [_axis(metric, results) for metric in analysis.metrics if metric in (SIZE, MEMORY)]
    gains = [metric for metric in analysis.metrics if metric not in (SIZE, MEMORY)]
    if not costs or not gains or len(results.rows) < 2:
        return {"data": [], "layout": {"height": PANEL}}
    panels = [
        Panel(number=number, count=len(gains), metric=gain, axis=_axis(gain, results))
        for number, gain in enumerate(gains)
    ]
    data = [_point(row, analysis, panel) for panel in panels for row in results.rows]
    views = [_view(cost, panels, results) for cost in costs]
    for place, trace in enumerate(data):
        trace.update({key: values[place] for key, values in views[0].items()})
    layout = _layout(len(panels))
    for panel in panels:
        layout |= _axes(panel, costs[0])
    if len(costs) > 1:
        layout["updatemenus"] = [_buttons(costs, views, panels)]
    return {"data": data, "layout": layout}


def _axis(metric: Metric, results: Rows) -> Axis:
    column = metric_column(metric, results.rows)
    values = tuple(
        None if (value := metric.value(row)) is None else value / column.divisor for row in results.rows
    )
    highs = [interval.high / column.divisor for row in results.rows if (interval := metric.interval(row))]
    name = "GPU memory" if metric is MEMORY and results.on_gpu else metric.name
    unit = f" ({column.unit})" if column.unit else ""
    return Axis(
        name=name,
        title=f"Decoding{unit}" if metric is SPEED else f"{name}{unit}",
        values=values,
        reach=ROOM * max([v for v in values if v is not None] + highs, default=1.0) or 1.0,
    )


def _view(cost: Axis, panels: Sequence[Panel], results: Rows) -> dict[str, list[Any]]:
    """What changes when another cost is chosen: x and the label's place, one entry a trace."""
    labels = [escape(row.label) for row in results.rows]
    view: dict[str, list[Any]] = {"x": [], "text": [], "textposition": []}
    for panel in panels:
        places = _places(cost, panel, [row.label for row in results.rows])
        view["x"] += [[value] for value in cost.values]
        view["text"] += [[label if place else ""] for label, place in zip(labels, places, strict=True)]
        view["textposition"] += [place or "top right" for place in places]
    return view


def _places(cost: Axis, panel: Panel, labels: Sequence[str]) -> list[str | None]:
    height = PANEL - panel.gap
    points = [
        None if x is None or y is None else (PANEL_WIDTH * x / cost.reach, height * y / panel.axis.reach)
        for x, y in zip(cost.values, panel.axis.values, strict=True)
    ]
    return place_labels(points, labels, PANEL_WIDTH, height)


def _point(row: Row, analysis: Analysis, panel: Panel) -> dict[str, Any]:
    """One method in one panel, without what `_view` adds."""
    place = analysis.results.rows.index(row)
    y, interval = panel.metric.value(row), panel.metric.interval(row)
    colour = colour_of(place)
    trace: dict[str, Any] = {
        "type": "scatter",
        "mode": "markers+text",
        "name": escape(f"{row.label} (baseline)" if row.is_baseline else row.label),
        "legendgroup": str(place),
        "showlegend": panel.number == 0,
        "y": [y],
        "hovertext": [_hover(row, analysis.metrics)],
        "hoverinfo": "text",
        "cliponaxis": False,
        "xaxis": f"x{panel.suffix}",
        "yaxis": f"y{panel.suffix}",
        "marker": {"color": colour, "symbol": symbol_of(place), "size": 13},
    }
    if y is not None and interval is not None:
        arms = {"array": [interval.high - y], "arrayminus": [y - interval.low], "symmetric": False}
        trace["error_y"] = {"type": "data", "color": colour, "thickness": 1.5, "width": 5, **arms}
    return trace


def _hover(row: Row, metrics: Sequence[Metric]) -> str:
    """Every figure of the row, whatever is drawn."""
    lines = [f"<b>{escape(row.label)}</b>"]
    for metric in metrics:
        value, interval = metric.value(row), metric.interval(row)
        text = "not measured" if value is None else metric.show(value)
        if value is not None and interval:
            text += f" ({metric.show(interval.low)} to {metric.show(interval.high)})"
        lines.append(f"{escape(metric.name)}: {escape(text)}")
    return "<br>".join(lines)


def _layout(panels: int) -> dict[str, Any]:
    return {
        "height": PANEL * panels + TOP + BOTTOM,
        "font": {"family": "system-ui, sans-serif", "size": 14, "color": INK},
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "margin": {"l": 72, "r": 24, "t": TOP, "b": BOTTOM},
        "legend": {"orientation": "h", "y": -LEGEND / (PANEL * panels), "yanchor": "top", "x": 0},
        "hovermode": "closest",
        "hoverlabel": {"align": "left", "bgcolor": "white", "font": {"color": INK}},
    }


def _axes(panel: Panel, cost: Axis) -> dict[str, Any]:
    """The two axes of a panel."""
    share, gap = 1 / panel.count, panel.gap / (PANEL * panel.count)
    common = {"gridcolor": GRID, "zeroline": True, "zerolinecolor": "#999999"}
    x = {"title": {"text": cost.title}, "anchor": f"y{panel.suffix}", "range": [0, cost.reach]}
    y = {
        "title": {"text": panel.axis.title},
        "anchor": f"x{panel.suffix}",
        "range": [0, panel.axis.reach],
        "domain": [1 - (panel.number + 1) * share + gap, 1 - panel.number * share],
    }
    return {f"xaxis{panel.suffix}": common | x, f"yaxis{panel.suffix}": common | y}


def _buttons(
    costs: Sequence[Axis], views: Sequence[dict[str, list[Any]]], panels: Sequence[Panel]
) -> dict[str, Any]:
    """Which cost runs along the horizontal axes."""
    buttons = []
    for cost, view in zip(costs, views, strict=True):
        axes: dict[str, Any] = {}
        for panel in panels:
            name = f"xaxis{panel.suffix}"
            axes |= {f"{name}.title.text": cost.title, f"{name}.range": [0, cost.reach]}
        buttons.append({"label": f"Over {lower_first(cost.name)}", "method": "update", "args": [view, axes]})
    return {
        "type": "buttons",
        "direction": "right",
        "x": 0,
        "xanchor": "left",
        "y": 1,
        "yanchor": "bottom",
        "pad": {"b": 12},
        "buttons": buttons,
    }
