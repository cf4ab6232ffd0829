"""`quantbench recommend`: pick a method within limits."""

from rich.console import Console

from quantbench.output import Output, plain
from quantbench.settings.commands import RecommendSettings


def recommend(settings: RecommendSettings, out: Output, err: Console) -> int:
    """Pick a method within limits from measured records, and say why each other one falls out.

    Exit status: 0 when a method meets the limits, 1 when none does.

    Example: quantbench recommend results/builtin --max-memory 2GB --min-recovery 0.97
    """
    from quantbench import api
    from quantbench.report.formats.decisions import print_choice
    from quantbench.results import read_limits

    limits = read_limits(settings)
    choice = api.load(settings.folder, console=err).choose(limits)
    out.give({"limits": limits} | plain(choice), lambda console: print_choice(choice, console))
    return 0 if choice.label is not None else 1
