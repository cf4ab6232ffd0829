"""The overview as a page that works offline: the same sections, in the style of a model's own page."""

from collections.abc import Sequence

from quantbench.report.blocks import Alert, Bullets, Code, Image, Section, Table, Text
from quantbench.report.pages import render_template

KINDS = {Text: "text", Alert: "alert", Bullets: "bullets", Table: "table", Code: "code", Image: "link"}


def render_overview(title: str, sections: Sequence[Section]) -> str:
    """The page as text."""
    return render_template(
        "overview.html.j2",
        title=title,
        sections=sections,
        kind_of=lambda block: KINDS[type(block)],
    )
