"""`quantbench report`: render a results folder again from its records; needs neither torch nor a GPU."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from rich.console import Console

from quantbench.output import Output
from quantbench.settings.commands import ReportSettings

if TYPE_CHECKING:
    from quantbench.api import Results, Sweep


def report(settings: ReportSettings, out: Output, err: Console) -> int:
    """Render a results folder again from its records; needs neither torch nor a GPU.

    Example: quantbench report results/builtin
    """
    from quantbench import api
    from quantbench.sweep import is_sweep

    if is_sweep(settings.folder):
        sweep = api.load_sweep(settings.folder, console=err)
        sweep.write(settings.format)
        give_overview(sweep, out)
        return 0
    results = api.load(settings.folder, console=err)
    results.write(settings.format)
    give_report(results, out)
    return 0


def give_report(results: "Results", out: Output) -> None:
    """Print the tables of a report that was written, and where it is."""

    def tables(console: Console) -> None:
        from quantbench.report import print_tables

        print_tables(results.analysis, console)

    give_written(results, tables, out)


def give_overview(sweep: "Sweep", out: Output) -> None:
    """Print the table over all models of a sweep whose report was written, and where it is."""

    def table(console: Console) -> None:
        from quantbench.report.overview import print_overview

        print_overview(sweep.overview, console)

    give_written(sweep, table, out)


def give_written(written: "Results | Sweep", tables: Callable[[Console], None], out: Output) -> None:
    """Print a report's tables, and where it is; as JSON what it describes."""

    def show(console: Console) -> None:
        tables(console)
        console.print(f"\nReport: {written.report}", highlight=False, soft_wrap=True)

    described = written.describe() if out.as_json else {}
    out.give({"folder": written.folder, "report": written.report} | described, show)
