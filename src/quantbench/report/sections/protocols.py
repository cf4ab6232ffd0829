"""One task asked in several ways: the spread of protocols beside the differences between methods."""

from collections.abc import Iterator

from quantbench.analysis import Analysis
from quantbench.analysis.comparison.protocol_spread import ProtocolSpread, Way
from quantbench.analysis.figures.scores import task_title
from quantbench.analysis.formatting import MISSING, signed
from quantbench.report.blocks import Bullet, Bullets, Column, Section, Table, Text

LEGEND = (
    "Pass@1 with the problems passed, and against the baseline under the same protocol the difference in "
    "points with its p-value, corrected for all methods and protocols of this table (Holm). Scores elsewhere "
    "in this report are those of the first protocol."
)


def protocol_sections(analysis: Analysis) -> Iterator[Section]:
    """One section for each task that was asked in several ways."""
    for spread in analysis.spreads:
        yield Section(
            key=f"protocols-{spread.task}",
            title=f"{task_title(spread.task)} under several protocols",
            blocks=(
                protocol_table(spread, [row.label for row in analysis.results.rows]),
                Bullets(tuple(map(Bullet, spread.statements))),
                Text(LEGEND),
            ),
        )


def protocol_table(spread: ProtocolSpread, methods: list[str]) -> Table:
    """A row a protocol, a column a method."""
    columns = (Column("Protocol", number=False), *map(Column, methods))
    rows = tuple((way.protocol, *(_cell(way, method) for method in methods)) for way in spread.ways)
    return Table(columns, rows)


def _cell(way: Way, method: str) -> str:
    score, pair = way.scores.get(method), way.pairs.get(method)
    if score is None:
        return MISSING
    text = f"{score.pass_at_1:.3f} ({score.passed}/{score.total})"
    if pair is None:
        return text
    p = "p < 0.001" if pair.adjusted_p < 0.001 else f"p = {pair.adjusted_p:.3f}"
    return f"{text}, {signed(100 * pair.difference)} ({p})"
