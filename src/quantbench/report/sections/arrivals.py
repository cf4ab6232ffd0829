"""Servers under requests that arrive at random times: a table, a row for each rate."""

from collections.abc import Iterator

from quantbench.analysis import Analysis, Arrivals
from quantbench.analysis.formatting import MISSING, significant
from quantbench.report.blocks import Column, Section, Table, Text

LEGEND = (
    "Requests arrive at random (a Poisson process of the rate) and are sent at once. Times in ms: median, "
    "90th and 99th percentile over requests; TTFT from sending, TPOT without the first token, as in vLLM's "
    "bench serve. Goodput: requests a second that keep the limits on both."
)
TITLES = ("Arriving (1/s)", "Answered (1/s)", "Tokens/s", "TTFT", "TPOT", "Goodput (1/s)", "Failed")


def arrival_sections(analysis: Analysis) -> Iterator[Section]:
    """There where rates were asked for."""
    if not analysis.arrivals:
        return
    columns = (Column("Row", number=False), *(Column(title) for title in TITLES))
    table = Table(columns, tuple(cells(found) for found in analysis.arrivals))
    notes = [
        f"{found.label} at {found.rate:g}/s: {found.failure}." for found in analysis.arrivals if found.failure
    ]
    text = Text(" ".join([LEGEND, *notes]))
    yield Section(key="arrivals", title="Requests at random times", blocks=(table, text))


def cells(found: Arrivals) -> tuple[str, ...]:
    """One rate of one row."""
    return (
        found.label,
        f"{found.rate:g}",
        significant(found.answered),
        significant(found.output_tokens_per_s),
        times(found.ttft_s),
        times(found.tpot_s),
        MISSING if found.goodput is None else significant(found.goodput),
        f"{found.failed} of {found.requests}",
    )


def times(seconds: tuple[float, ...]) -> str:
    """'12.1 / 15.0 / 20.2'."""
    return " / ".join(significant(1000 * value) for value in seconds) or MISSING
