"""Visualizations: the pictures beside the report, each with what it shows."""

from collections.abc import Iterator
from dataclasses import replace

from quantbench.analysis import Analysis
from quantbench.report.blocks import Picture, Section
from quantbench.report.charts import HEATMAP, file_of, has_heatmap, pictured

TRADEOFFS = "performance_tradeoffs.html"
PAGE = "report.html"


def picture_section(analysis: Analysis) -> Iterator[Section]:
    """The pictures and the interactive pages, where something was measured."""
    if not analysis.metrics:
        return
    bars = tuple(Picture(file_of(m.key), f"{m.name} of every method") for m in pictured(analysis))
    heatmap = (
        (Picture(HEATMAP, "All metrics, scaled from the worst to the best method"),)
        if has_heatmap(analysis)
        else ()
    )
    chart = Picture(TRADEOFFS, f"{TRADEOFFS}: an interactive chart of the trade-offs")
    page = Picture(PAGE, f"{PAGE}: this report as a page, with charts to ask and the answers that changed")
    yield Section(key="pictures", title="Visualizations", blocks=(*bars, *heatmap, chart, page))


def without_pages(section: Section) -> Section:
    """The section without links to HTML pages, for a report that is written without them."""
    blocks = tuple(b for b in section.blocks if not (isinstance(b, Picture) and b.file.endswith(".html")))
    return replace(section, blocks=blocks)
