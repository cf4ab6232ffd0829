"""The four PNG pictures of a report, drawn on matplotlib's Agg canvas; it is imported on first use."""

from collections.abc import Iterator

from quantbench.analysis import Analysis


def draw_charts(analysis: Analysis) -> Iterator[tuple[str, bytes]]:
    """File name and PNG bytes of every picture; nothing when nothing was measured."""
    if not analysis.metrics:
        return
    from quantbench.report.charts.bars import BARS, draw_bars
    from quantbench.report.charts.heatmap import draw_heatmap

    for file, metric in BARS:
        yield file, draw_bars(analysis.results, metric)
    yield "normalized_metrics_heatmap.png", draw_heatmap(analysis)
