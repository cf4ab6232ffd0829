"""report.html: the whole report as one page that works offline, with charts, sorting and a flip browser.

The same sections as the Markdown report, the pictures replaced by charts that can be asked. The page
holds its style, script and data; without scripts all texts, tables and flips are still there.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from quantbench.analysis import Analysis
from quantbench.report.blocks import Alert, Bullets, Code, Image, Section, Table, Text
from quantbench.report.charts.page_charts import chart_data
from quantbench.report.formats.flips import Flips, read_flips
from quantbench.report.pages import TEMPLATES, render_template
from quantbench.report.sections import sections_of

PICTURES = "pictures"  # the section that the page's own charts replace
SCRIPTS = ("scales.js", "charts.js", "load.js", "page.js")
KINDS = {Text: "text", Alert: "alert", Bullets: "bullets", Table: "table", Code: "code", Image: "picture"}


def render_page(analysis: Analysis, folder: Path) -> str:
    """The page as text; `folder` holds the samples for the flip browser."""
    return render_template(
        "page.html.j2",
        **page_context(analysis, read_flips(analysis.results, folder)),
        script="\n".join((TEMPLATES / name).read_text() for name in SCRIPTS),
    )


def page_context(analysis: Analysis, flips: Flips) -> Mapping[str, Any]:
    """What the template shows."""
    results = analysis.results
    data = chart_data(analysis)
    return {
        "title": f"Quantization benchmark: {results.model_name}",
        "parts": page_parts(analysis, flips, data),
        "kind_of": lambda block: KINDS[type(block)],
        "methods": [row.label for row in results.rows],
        "flips": flips,
        "flip_labels": list(dict.fromkeys(flip.label for flip in flips.entries)),
        "baseline": results.baseline_name,
        "data": as_json(data),
    }


def page_parts(analysis: Analysis, flips: Flips, data: Mapping[str, Any]) -> list[Section]:
    """The report's sections with the page's own among them: each behind the section that it belongs to."""
    own: dict[str, list[Section]] = {"methods": [], "engines": [], "conclusion": []}
    if _can_be_drawn(data):
        own["methods"].append(Section(key="trade-off-chart", title="Trade-offs as a chart"))
    if data["sweeps"]:
        own["methods"].append(Section(key="sweep-curves", title="Speed over batch sizes as curves"))
    if data["loads"]:
        own["engines"].append(Section(key="load-curves", title="Throughput against latency"))
    if flips.entries or flips.missing:
        own["conclusion"].append(Section(key="flips", title="Answers that changed"))
    parts: list[Section] = []
    for section in sections_of(analysis):
        if section.key != PICTURES:
            parts.append(_without_pictures(section))
        parts += own.pop(section.key, [])
    return [*parts, *(section for sections in own.values() for section in sections)]


def _without_pictures(section: Section) -> Section:
    return replace(section, blocks=tuple(b for b in section.blocks if not isinstance(b, Image)))


def _can_be_drawn(data: Mapping[str, Any]) -> bool:
    """Whether there are two methods to trade, and two measures."""
    measured = [axis for axis in data["axes"] if any(value is not None for value in axis["values"])]
    return len(measured) > 1 and len(data["methods"]) > 1


def as_json(data: Mapping[str, Any]) -> str:
    """JSON that may stand inside a script element: no `<` that could end it."""
    return json.dumps(data, allow_nan=False).replace("<", "\\u003c").replace("&", "\\u0026")
