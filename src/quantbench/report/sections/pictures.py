"""Visualizations: the pictures beside the report, each with what it shows."""

from collections.abc import Iterator
from dataclasses import replace

from quantbench.analysis import Analysis
from quantbench.report.blocks import Picture, Section

PICTURES = (
    ("model_size_comparison.png", "Model size of every method"),
    ("inference_speed_comparison.png", "Inference speed of every method, with intervals"),
    ("memory_usage_comparison.png", "Memory of every method"),
    ("normalized_metrics_heatmap.png", "All metrics, scaled from the worst to the best method"),
)
TRADEOFFS = "performance_tradeoffs.html"
PAGE = "report.html"


def picture_section(analysis: Analysis) -> Iterator[Section]:
    """The four pictures, and the interactive pages where something was measured."""
    if not analysis.metrics:
        return
    pictures = tuple(Picture(file, caption) for file, caption in PICTURES)
    chart = Picture(TRADEOFFS, f"{TRADEOFFS}: an interactive chart of the trade-offs")
    page = Picture(PAGE, f"{PAGE}: this report as a page, with charts to ask and the answers that changed")
    yield Section(key="pictures", title="Visualizations", blocks=(*pictures, chart, page))


def without_pages(section: Section) -> Section:
    """The section without links to HTML pages, for a report that is written without them."""
    blocks = tuple(b for b in section.blocks if not (isinstance(b, Picture) and b.file.endswith(".html")))
    return replace(section, blocks=blocks)
