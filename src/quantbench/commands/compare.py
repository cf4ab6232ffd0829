"""`quantbench compare`: what really changed between two results folders."""

from rich.console import Console

from quantbench.output import Output, plain
from quantbench.settings.commands import CompareSettings, FailOn


def compare(settings: CompareSettings, out: Output, err: Console) -> int:
    """Compare two results folders and mark what really changed; a gate for continuous integration.

    Exit status: 1 when a figure got worse or was lost and --fail-on is regression, else 0.

    Example: quantbench compare results/before results/after --fail-on regression
    """
    from quantbench import api
    from quantbench.report.formats.decisions import print_comparison

    old, new = (api.load(folder, console=err) for folder in (settings.old, settings.new))
    comparison = old.compare(new, settings.tolerance)
    status = 1 if settings.fail_on is FailOn.REGRESSION and comparison.failures else 0
    document = plain(comparison) | {"failed": bool(status)}
    out.give(document, lambda console: print_comparison(comparison, console))
    return status
