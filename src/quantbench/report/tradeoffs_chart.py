"""The interactive trade-off chart as the dictionary that Plotly draws; imports no Plotly.

One panel a gain (speed, then pass@1 of each task) over a cost (size or memory, chosen by buttons); a point
a method, with its interval.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from quantbench.analysis import Analysis, Metric, Results, Row
from quantbench.analysis.metrics import MEMORY, SIZE, SPEED
from quantbench.report.columns import byte_column

# Okabe and Ito 2008; the yellow is left out, it is too light on white.
COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
SYMBOLS = ("star", "circle", "square", "diamond", "triangle-up", "cross", "x", "hexagon")
PANEL = 400  # pixels
TOP, BOTTOM = 110, 64
GAP = 84  # pixels between panels: ticks and title of the upper one
ROOM = 1.12  # of an axis, beyond its largest figure
INK, GRID = "#222222", "#E3E3E3"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """A horizontal axis: values in its unit, one a row."""

    name: str
    title: str
    values: tuple[float | None, ...]

    @property
    def reach(self) -> float:
        """Where the axis ends."""
        return ROOM * max((value for value in self.values if value is not None), default=1.0)

    def is_high(self, value: float | None) -> bool:
        """Whether a label fits better on the left of this point."""
        return value is not None and value > self.reach / 2


def tradeoff_figure(analysis: Analysis) -> dict[str, Any]:
    """Plotly's `data` and `layout`; no data when there is no cost or no gain to draw."""
    results = analysis.results
    costs = [_cost(metric, results) for metric in analysis.metrics if metric in (SIZE, MEMORY)]
    gains = [metric for metric in analysis.metrics if metric not in (SIZE, MEMORY)]
    if not costs or not gains:
        return {"data": [], "layout": {"height": PANEL}}
    data = [
        _point(results.rows[place], gain, costs[0], place, panel, analysis.metrics)
        for panel, gain in enumerate(gains)
        for place in range(len(results.rows))
    ]
    layout = _layout(len(gains))
    for panel, gain in enumerate(gains):
        layout |= _axes(panel, len(gains), costs[0], _gain_title(gain), _reach(gain, results))
    if len(costs) > 1:
        layout["updatemenus"] = [_buttons(costs, len(gains))]
    return {"data": data, "layout": layout}


def _cost(metric: Metric, results: Results) -> Cost:
    values = [metric.value(row) for row in results.rows]
    column = byte_column([None if value is None else int(value) for value in values])
    name = "GPU memory" if metric is MEMORY and results.on_gpu else metric.name
    return Cost(
        name=name if metric is MEMORY and results.on_gpu else name.lower(),
        title=f"{name} ({column.unit}), less is better",
        values=tuple(None if value is None else value / column.divisor for value in values),
    )


def _point(
    row: Row, gain: Metric, cost: Cost, place: int, panel: int, metrics: Sequence[Metric]
) -> dict[str, Any]:
    x, y, interval = cost.values[place], gain.value(row), gain.interval(row)
    name = escape(f"{row.label} (baseline)" if row.is_baseline else row.label)
    colour = COLOURS[place % len(COLOURS)]
    trace: dict[str, Any] = {
        "type": "scatter",
        "mode": "markers+text",
        "name": name,
        "legendgroup": str(place),
        "showlegend": panel == 0,
        "x": [x],
        "y": [y],
        "text": [escape(row.label)],
        "textposition": f"{'top' if place % 2 else 'bottom'} {'left' if cost.is_high(x) else 'right'}",
        "hovertext": [_hover(row, metrics)],
        "hoverinfo": "text",
        "cliponaxis": False,
        "xaxis": _axis("x", panel),
        "yaxis": _axis("y", panel),
        "marker": {"color": colour, "symbol": SYMBOLS[place % len(SYMBOLS)], "size": 13},
    }
    if y is not None and interval is not None:
        arms = {"array": [interval.high - y], "arrayminus": [y - interval.low], "symmetric": False}
        trace["error_y"] = {"type": "data", "color": colour, "thickness": 1.5, "width": 5, **arms}
    return trace


def _axis(letter: str, panel: int) -> str:
    return letter if panel == 0 else f"{letter}{panel + 1}"


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
        "legend": {"orientation": "h", "y": 1, "yanchor": "bottom", "x": 0},
        "hovermode": "closest",
        "hoverlabel": {"align": "left", "bgcolor": "white", "font": {"color": INK}},
    }


def _gain_title(gain: Metric) -> str:
    return f"Decoding ({gain.unit})" if gain is SPEED else gain.name


def _reach(gain: Metric, results: Results) -> float:
    """Where a vertical axis ends: above the highest interval."""
    values = [value for row in results.rows if (value := gain.value(row)) is not None]
    highs = [interval.high for row in results.rows if (interval := gain.interval(row))]
    return ROOM * max([*values, *highs], default=1.0) or 1.0


def _axes(panel: int, panels: int, cost: Cost, title: str, reach: float) -> dict[str, Any]:
    """The two axes of a panel; panels stand under each other, the first on top."""
    share = 1 / panels
    gap = GAP / (PANEL * panels) if panel < panels - 1 else 0.0
    common = {"gridcolor": GRID, "zeroline": True, "zerolinecolor": "#999999"}
    x = {"title": {"text": cost.title}, "anchor": _axis("y", panel), "range": [0, cost.reach]}
    y = {
        "title": {"text": title},
        "anchor": _axis("x", panel),
        "range": [0, reach],
        "domain": [1 - (panel + 1) * share + gap, 1 - panel * share],
    }
    number = panel + 1 if panel else ""
    return {f"xaxis{number}": common | x, f"yaxis{number}": common | y}


def _buttons(costs: Sequence[Cost], panels: int) -> dict[str, Any]:
    """Which cost runs along the horizontal axes."""
    buttons = []
    for cost in costs:
        axes: dict[str, Any] = {}
        for panel in range(panels):
            name = f"xaxis{panel + 1 if panel else ''}"
            axes |= {f"{name}.title.text": cost.title, f"{name}.range": [0, cost.reach]}
        values = [[value] for value in cost.values] * panels
        buttons.append({"label": f"over {cost.name}", "method": "update", "args": [{"x": values}, axes]})
    return {
        "type": "buttons",
        "direction": "right",
        "x": 1,
        "xanchor": "right",
        "y": 1,
        "yanchor": "bottom",
        "pad": {"b": 36},
        "buttons": buttons,
    }
