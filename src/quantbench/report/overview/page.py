"""The overview as a page that works offline: the same sections, in the style of a model's own page."""

from collections.abc import Sequence
from importlib.resources import files

from quantbench.report.blocks import Alert, Bullets, Code, Image, Section, Table, Text

KINDS = {Text: "text", Alert: "alert", Bullets: "bullets", Table: "table", Code: "code", Image: "link"}


def render_overview(title: str, sections: Sequence[Section]) -> str:
    """The page as text."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    templates = files("quantbench.report") / "templates"
    environment = Environment(
        loader=FileSystemLoader(str(templates)),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("overview.html.j2").render(
        title=title,
        sections=sections,
        kind_of=lambda block: KINDS[type(block)],
        style=(templates / "page.css").read_text(),
    )
