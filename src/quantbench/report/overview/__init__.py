"""The report over many models: `write_overview`, in the forms of a model's own report."""

from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from quantbench.analysis import Overview
from quantbench.report.overview.export import document, to_csv, to_json
from quantbench.report.overview.page import render_overview
from quantbench.report.overview.sections import overview_sections, row_table
from quantbench.store import write_atomically

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["document", "print_overview", "write_overview"]


def write_overview(overview: Overview, *, folder: Path, formats: Collection[str]) -> tuple[str, ...]:
    """Write report.md, report.html, results.json and results.csv as asked; their names in this order.

    StoreError when they cannot be written.
    """
    from quantbench.report.formats.markdown import render_markdown

    page = "report.html" if "html" in formats else "report.md"
    sections = overview_sections(overview, page)
    title = f"Quantization benchmark: {len(overview.models)} models"
    made = {
        "md": ("report.md", partial(render_markdown, title, sections)),
        "html": ("report.html", partial(render_overview, title, sections)),
        "json": ("results.json", partial(to_json, overview)),
        "csv": ("results.csv", partial(to_csv, overview)),
    }
    wanted = [made[name] for name in made if name in formats]
    for name, make in wanted:
        write_atomically(folder / name, make().encode())
    return tuple(name for name, _ in wanted)


def print_overview(overview: Overview, console: "Console") -> None:
    """The table over all models, and what methods do over them, on a terminal."""
    from quantbench.report.formats.console import print_table
    from quantbench.report.overview.sections import effect_table

    print_table(f"{len(overview.models)} models", row_table(overview), console)
    if overview.effects:
        print_table("What methods change over models", effect_table(overview), console)
    for absent in overview.absent:
        console.print(f"{absent.name}: {absent.reason}", style="red", highlight=False, markup=False)
