"""A report from an Analysis: Markdown with pictures, an interactive page, JSON and CSV, tables on a terminal.

Everything that is said comes from `analysis`; this layer only gives it a form. Neither torch nor
transformers is needed. The drawing libraries are imported when something is drawn.
"""

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantbench.analysis import Analysis
from quantbench.store import write_atomically

if TYPE_CHECKING:
    from rich.console import Console


def write_report(
    analysis: Analysis, *, folder: Path, formats: Collection[str], samples: Path | None = None
) -> tuple[str, ...]:
    """Write the files of every format into `folder`; their names, the one to read first in front.

    `samples` is the results folder that holds the answers, where it is another one.

    md: report.md and its PNG pictures; html: report.html, performance_tradeoffs.html; json, csv: results.*.
    StoreError when it cannot be written.
    """
    written: list[str] = []
    if "md" in formats:
        written += _write_markdown(analysis, folder, with_page="html" in formats)
    if "html" in formats:
        from quantbench.report.formats.page import render_page
        from quantbench.report.formats.tradeoffs_page import render_tradeoffs

        write_atomically(folder / "report.html", render_page(analysis, samples or folder).encode())
        write_atomically(folder / "performance_tradeoffs.html", render_tradeoffs(analysis).encode())
        written += ["report.html", "performance_tradeoffs.html"]
    if "json" in formats or "csv" in formats:
        written += _write_figures(analysis, folder, formats)
    return tuple(written)


def print_tables(analysis: Analysis, console: "Console") -> None:
    """The main tables and the recommendations on a terminal."""
    from quantbench.report.formats.console import print_analysis

    print_analysis(analysis, console)


def describe(analysis: Analysis) -> dict[str, Any]:
    """The figures and statements of results.json as plain values, without the raw records."""
    from quantbench.report.formats.export import document

    return document(analysis)


def _write_markdown(analysis: Analysis, folder: Path, *, with_page: bool) -> list[str]:
    from quantbench.report.charts import draw_charts
    from quantbench.report.charts.style import to_png
    from quantbench.report.formats.markdown import render_markdown
    from quantbench.report.sections import sections_of
    from quantbench.report.sections.overview import without_pages

    title = f"Quantization benchmark: {analysis.results.model_name}"
    written = ["report.md"]
    for file, picture in draw_charts(analysis):
        write_atomically(folder / file, to_png(picture))
        written.append(file)
    sections = [section if with_page else without_pages(section) for section in sections_of(analysis)]
    write_atomically(folder / "report.md", render_markdown(title, sections).encode())
    return written


def _write_figures(analysis: Analysis, folder: Path, formats: Collection[str]) -> list[str]:
    from quantbench.report.formats.export import to_csv, to_json

    makers = {"json": to_json, "csv": to_csv}
    wanted = [name for name in makers if name in formats]
    for name in wanted:
        write_atomically(folder / f"results.{name}", makers[name](analysis).encode())
    return [f"results.{name}" for name in wanted]
