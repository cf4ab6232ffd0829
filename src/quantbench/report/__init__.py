"""A report from an Analysis: Markdown with pictures, an interactive page, JSON and CSV, tables on a terminal.

Everything that is said comes from `analysis`; this layer only gives it a form. Neither torch nor
transformers is needed. The drawing libraries are imported when something is drawn.
"""

from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantbench.analysis import Analysis
from quantbench.store import write_atomically

if TYPE_CHECKING:
    from rich.console import Console

    from quantbench.report.charts.style import ChartFigure
    from quantbench.report.together import Part


def write_report(
    analysis: Analysis, *, folder: Path, formats: Collection[str], samples: Path | None = None
) -> tuple[str, ...]:
    """Write the files of every format into `folder`; their names, the one to read first in front.

    `samples` is the results folder that holds the answers, where it is another one.

    md: report.md and its PNG pictures; html: report.html, performance_tradeoffs.html; json, csv: results.*.
    StoreError when it cannot be written.
    """
    from quantbench.report.together import made_together

    parts = _parts_of(analysis, folder, formats, samples or folder)
    return tuple(made_together(parts))


def _parts_of(analysis: Analysis, folder: Path, formats: Collection[str], samples: Path) -> "list[Part]":
    """What writes each file, the one to read first in front."""
    parts: list[Part] = []
    if "md" in formats:
        from quantbench.report.charts import charts_of

        parts.append(partial(_write_markdown, analysis, folder, with_page="html" in formats))
        parts += [partial(_write_picture, folder, file, draw) for file, draw in charts_of(analysis)]
    if "html" in formats:
        parts.append(partial(_write_page, analysis, folder, samples))
        parts.append(partial(_write_tradeoffs, analysis, folder))
    if "json" in formats or "csv" in formats:
        parts.append(partial(_write_figures, analysis, folder, formats))
    return parts


def print_tables(analysis: Analysis, console: "Console") -> None:
    """The main tables and the recommendations on a terminal."""
    from quantbench.report.formats.console import print_analysis

    print_analysis(analysis, console)


def describe(analysis: Analysis) -> dict[str, Any]:
    """The figures and statements of results.json as plain values, without the raw records."""
    from quantbench.report.formats.export import document

    return document(analysis)


def _write_markdown(analysis: Analysis, folder: Path, *, with_page: bool) -> list[str]:
    from quantbench.report.formats.markdown import render_markdown
    from quantbench.report.sections import sections_of
    from quantbench.report.sections.overview import without_pages

    title = f"Quantization benchmark: {analysis.results.model_name}"
    sections = [section if with_page else without_pages(section) for section in sections_of(analysis)]
    return _written(folder, "report.md", render_markdown(title, sections).encode())


def _write_picture(folder: Path, file: str, draw: "Callable[[], ChartFigure]") -> list[str]:
    from quantbench.report.charts.style import to_png

    return _written(folder, file, to_png(draw()))


def _write_page(analysis: Analysis, folder: Path, samples: Path) -> list[str]:
    from quantbench.report.formats.page import render_page

    return _written(folder, "report.html", render_page(analysis, samples).encode())


def _write_tradeoffs(analysis: Analysis, folder: Path) -> list[str]:
    from quantbench.report.formats.tradeoffs_page import render_tradeoffs

    return _written(folder, "performance_tradeoffs.html", render_tradeoffs(analysis).encode())


def _written(folder: Path, file: str, content: bytes) -> list[str]:
    write_atomically(folder / file, content)
    return [file]


def _write_figures(analysis: Analysis, folder: Path, formats: Collection[str]) -> list[str]:
    from quantbench.report.formats.export import to_csv, to_json

    makers = {"json": to_json, "csv": to_csv}
    wanted = [name for name in makers if name in formats]
    for name in wanted:
        write_atomically(folder / f"results.{name}", makers[name](analysis).encode())
    return [f"results.{name}" for name in wanted]
