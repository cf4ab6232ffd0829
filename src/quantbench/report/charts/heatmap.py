"""All metrics in one picture: the colour runs from the worst to the best method, the cell has the figure."""

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.patches import Rectangle

from quantbench.analysis import MEMORY, Analysis, Metric, Rows, inside_noise, normalise
from quantbench.analysis.formatting import MISSING
from quantbench.report.charts.style import (
    QUIET,
    WIDTH,
    ChartFigure,
    new_figure,
    row_label,
    set_titles,
    short_name,
    styled,
)
from quantbench.report.columns import metric_column

COLOURS = colormaps["cividis"]  # made for colour-blind readers, dark to light
NO_COLOUR = "#EDEDED"
BAR_ASPECT = 8  # of the colour scale with no lines; it stays as thin when lines are added
DARK_BELOW = 0.46


def draw_heatmap(analysis: Analysis) -> ChartFigure:
    """A metric on which no two methods are shown to differ, or a missing figure, has no colour."""
    results, metrics = analysis.results, analysis.metrics
    with styled():
        figure, axes = new_figure(2.3 + 0.5 * len(results.rows))
        figure.set_figwidth(max(WIDTH, 3.0 + 1.5 * len(metrics)))
        set_titles(axes, "All metrics, from the worst to the best method", short_name(results.model_name))
        for place, metric in enumerate(metrics):
            _draw_column(axes, place, metric, results)
        _label(axes, results, metrics)
        aspect = BAR_ASPECT + 4 * len(results.rows)
        scale = figure.colorbar(ScalarMappable(cmap=COLOURS), ax=axes, ticks=[0, 1], pad=0.02, aspect=aspect)
        scale.ax.set_yticklabels(["worst", "best"])
        scale.outline.set_visible(False)
        return figure


def shares_of(metric: Metric, results: Rows) -> dict[str, float]:
    """0 (worst) to 1 (best) by label; nothing where no two methods are shown to differ."""
    rows = [row for row in results.rows if metric.value(row) is not None]
    if len(rows) < 2 or inside_noise(metric, results, rows):
        return {}
    return normalise(metric, rows) or {}


def _draw_column(axes: Axes, place: int, metric: Metric, results: Rows) -> None:
    shares = shares_of(metric, results)
    column = metric_column(metric, results.rows)
    for line, row in enumerate(results.rows):
        value, share = metric.value(row), shares.get(row.label)
        colour = NO_COLOUR if share is None else COLOURS(share)
        axes.add_patch(Rectangle((place, line), 1, 1, facecolor=colour, edgecolor="white", linewidth=2))
        dark = share is not None and share < DARK_BELOW
        axes.text(
            place + 0.5,
            line + 0.5,
            MISSING if value is None else f"{column.show(value)} {column.unit}".strip(),
            ha="center",
            va="center",
            color="white" if dark else "black",
        )


def _label(axes: Axes, results: Rows, metrics: tuple[Metric, ...]) -> None:
    axes.set_xlim(0, len(metrics))
    axes.set_ylim(len(results.rows), 0)
    titles = [_column_title(metric, results) for metric in metrics]
    axes.set_xticks([place + 0.5 for place in range(len(metrics))], titles)
    axes.xaxis.label.set_color(QUIET)
    labels = [row_label(row) for row in results.rows]
    axes.set_yticks([line + 0.5 for line in range(len(labels))], labels)


def _column_title(metric: Metric, results: Rows) -> str:
    name = "GPU memory" if metric is MEMORY and results.on_gpu else metric.name
    lines = [name, "less is better" if metric.lower_is_better else "more is better"]
    if not shares_of(metric, results):
        lines.append("(no difference shown)")
    return "\n".join(lines)
