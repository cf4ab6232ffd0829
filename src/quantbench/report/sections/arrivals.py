"""Servers under requests that arrive at random times: a table, a row for each rate."""

from collections.abc import Iterator

from quantbench.analysis import MARK, Analysis, Arrivals
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
    text = Text(" ".join([LEGEND, *notes(analysis.arrivals)]))
    yield Section(key="arrivals", title="Requests at random times", blocks=(table, text))


def notes(all_found: tuple[Arrivals, ...]) -> Iterator[str]:
    """What failed and what was disturbed, a sentence each."""
    for found in all_found:
        where = f"{found.label} at {found.rate:g}/s"
        if found.failure:
            yield f"{where}: {found.failure}."
        if found.disturbed:
            yield f"{MARK} {where} was disturbed: {found.disturbed}; nothing is to be concluded from it."


def cells(found: Arrivals) -> tuple[str, ...]:
    """One rate of one row."""
    measured = (
        significant(found.answered),
        significant(found.output_tokens_per_s),
        times(found.ttft_s),
        times(found.tpot_s),
        MISSING if found.goodput is None else significant(found.goodput),
    )
    mark = f" {MARK}" if found.disturbed else ""
    marked = (text + mark if text != MISSING else text for text in measured)
    return (found.label, f"{found.rate:g}", *marked, f"{found.failed} of {found.requests}")


def times(seconds: tuple[float, ...]) -> str:
    """'12.1 / 15.0 / 20.2'."""
    return " / ".join(significant(1000 * value) for value in seconds) or MISSING
