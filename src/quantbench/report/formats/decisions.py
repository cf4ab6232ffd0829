"""What `recommend` and `compare` print: the choice with every reason, the changes with their evidence."""

from rich.console import Console
from rich.text import Text as RichText

from quantbench.analysis import Changes, Choice, Kind
from quantbench.report.blocks import Column, Table
from quantbench.report.formats.console import print_table

STYLES = {Kind.REGRESSION: "red", Kind.LOST: "red", Kind.IMPROVEMENT: "green", Kind.UNDECIDED: "yellow"}


def print_choice(choice: Choice, console: Console) -> None:
    """A line a method with the limits it meets and misses, then the chosen one and why."""
    doubt = False
    for candidate in choice.candidates:
        missed = [check for check in candidate.checks if not check.met]
        shown = missed or list(candidate.checks)
        doubt = doubt or any(not check.sure for check in shown)
        text = "; ".join(check.text + ("" if check.sure else " (not sure)") for check in shown)
        line = f"{candidate.label} {'falls out' if missed else 'fits'}" + (f": {text}" if text else "")
        console.print(RichText(line, style="" if missed else "bold"))
    if doubt:
        console.print(
            "Not sure: the figure's 95 % interval holds the limit (for speeds, that of another run).",
            highlight=False,
        )
    console.print()
    if choice.label is None:
        console.print(RichText(f"No method: {choice.reason}.", style="red"))
    else:
        console.print(RichText(f"Use {choice.label}: {choice.reason}."))


def print_comparison(comparison: Changes, console: Console) -> None:
    """What differs around the figures, every figure with its verdict, and a count."""
    for note in comparison.notes:
        console.print(RichText(note, style="yellow"))
    if not comparison.differences:
        console.print("No method has a figure in both folders.", highlight=False)
        return
    columns = tuple(
        Column(title, number=title in ("Old", "New"))
        for title in ("Method", "Figure", "Old", "New", "Verdict")
    )
    rows = tuple((d.label, d.figure, d.old, d.new, str(d.kind)) for d in comparison.differences)
    print_table("Old against new", Table(columns, rows), console)
    for difference in comparison.differences:
        if difference.kind in STYLES:
            line = f"{difference.kind}: {difference.label}, {difference.figure}: {difference.why}"
            console.print(RichText(line, style=STYLES[difference.kind]))
    console.print(RichText(_count(comparison)))


def _count(comparison: Changes) -> str:
    kinds = [difference.kind for difference in comparison.differences]
    counts = [f"{kinds.count(kind)} {kind}" for kind in Kind]
    return f"Of {len(kinds)} figures: {', '.join(counts)}."
