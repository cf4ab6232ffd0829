"""The report's tables and recommendations on a terminal, 80 columns wide and without markup in names."""

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text as RichText

from quantbench.analysis import USE_CASES, Analysis, Statement
from quantbench.report.blocks import Table
from quantbench.report.sections.harness import harness_sections
from quantbench.report.sections.overview import method_table
from quantbench.report.sections.scores import score_sections
from quantbench.units import listed


def print_analysis(analysis: Analysis, console: Console) -> None:
    """The main table, one table a task, the recommendations, and what failed."""
    results = analysis.results
    if analysis.alert:
        console.print()
        console.print(RichText(analysis.alert, style="bold red"))
    if results.rows:
        print_table(f"{results.model_name}: quantization methods", method_table(results), console)
    for section in (*score_sections(analysis), *harness_sections(analysis)):
        for block in section.blocks:
            if isinstance(block, Table):
                print_table(section.title, block, console)
    _print_answer(analysis, console)
    for issue in analysis.issues:
        if issue.failed:
            console.print(RichText(f"{issue.label}: {issue.text}", style="red"))


def print_table(title: str, table: Table, console: Console) -> None:
    """A table with its title, an empty line before it."""
    console.print()
    console.print(RichText(title, style="bold"))
    shown = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in table.columns:
        shown.add_column(
            RichText(column.title), justify="right" if column.number else "left", overflow="fold"
        )
    for row in table.rows:
        shown.add_row(*(RichText(cell) for cell in row))
    console.print(shown)


def _print_answer(analysis: Analysis, console: Console) -> None:
    """What the report's head says: a line a method, and the choices in one."""
    console.print()
    for statement in analysis.answer:
        console.print(RichText(f"{statement.title}: {statement.text}"))
    choices = [statement for statement in analysis.recommendations if statement.choice]
    if choices:
        console.print(RichText(f"Recommended for {'; '.join(_choice(statement) for statement in choices)}"))


def _choice(statement: Statement) -> str:
    doubt = f" (no clear lead over {listed(statement.tied)})" if statement.tied else ""
    return f"{USE_CASES.get(statement.title, statement.title)}: {statement.choice}{doubt}"
