"""HTML pages from the templates, which share their style."""

from importlib.resources import files
from typing import Any

TEMPLATES = files("quantbench.report") / "templates"


def render_template(name: str, **values: Any) -> str:
    """A page as text: the named template with these values and the style of all pages."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(str(TEMPLATES)),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name).render(**values, style=(TEMPLATES / "page.css").read_text())
