"""Perplexity of the user's text by the field's conventions."""

from collections.abc import Iterator

from quantbench.analysis import Analysis
from quantbench.analysis.comparison.perplexity import TextPerplexity
from quantbench.analysis.formatting import MISSING, significant
from quantbench.report.blocks import Column, Section, Table, Text

LEGEND = (
    "The conventions count other tokens with other contexts, so their figures are not to be compared with "
    "each other; each is that of the program whose name it bears, for the same window. Ratio: to the "
    "baseline over the same windows, with a 95 % interval (Student t) over windows."
)


def perplexity_sections(analysis: Analysis) -> Iterator[Section]:
    """Left out where no text was given."""
    found = analysis.perplexities
    if not found:
        return
    texts = dict.fromkeys(entry.measured.text for entry in found)
    table = perplexity_table(found)
    yield Section(
        key="perplexity", title=f"Perplexity of {' and '.join(texts)}", blocks=(table, Text(LEGEND))
    )


def perplexity_table(found: tuple[TextPerplexity, ...]) -> Table:
    """A row a method and convention."""
    texts = ("Method", "Convention")
    numbers = ("Window", "Stride", "Windows", "Perplexity", "Ratio", "95 % interval")
    columns = (*(Column(title, number=False) for title in texts), *map(Column, numbers))
    return Table(columns, tuple(map(_cells, found)))


def _cells(entry: TextPerplexity) -> tuple[str, ...]:
    measured, ends = entry.measured, entry.interval
    return (
        entry.label,
        measured.convention,
        f"{measured.window}",
        f"{measured.stride}",
        f"{len(measured.nll)}",
        significant(entry.value, 5),
        MISSING if entry.ratio is None else f"{entry.ratio:.4f}",
        MISSING if ends is None else f"{ends.low:.4f} to {ends.high:.4f}",
    )
