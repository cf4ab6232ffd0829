"""`quantbench report`: render a results folder again from its records; needs neither torch nor a GPU."""

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

    def show(console: Console) -> None:
        from quantbench.report import print_tables

        print_tables(results.analysis, console)
        console.print(f"\nReport: {results.report}", highlight=False, soft_wrap=True)

    described = results.describe() if out.as_json else {}
    out.give({"folder": results.folder, "report": results.report} | described, show)


def give_overview(sweep: "Sweep", out: Output) -> None:
    """Print the table over all models of a sweep whose report was written, and where it is."""

    def show(console: Console) -> None:
        from quantbench.report.overview import print_overview

        print_overview(sweep.overview, console)
        console.print(f"\nReport: {sweep.report}", highlight=False, soft_wrap=True)

    described = sweep.describe() if out.as_json else {}
    out.give({"folder": sweep.folder, "report": sweep.report} | described, show)
