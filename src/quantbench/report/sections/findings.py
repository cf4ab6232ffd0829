"""Performance analysis and conclusion: the statements of the analysis, as lists."""

from collections.abc import Iterable, Iterator

from quantbench.analysis import Analysis, Statement
from quantbench.report.blocks import Bullet, Bullets, Section, Text


def finding_sections(analysis: Analysis) -> Iterator[Section]:
    """Key observations and trade-offs; left out when nothing was measured."""
    if not analysis.observations:
        return
    yield Section(key="analysis", title="Performance analysis")
    yield Section(
        key="observations", title="Key observations", level=3, blocks=(_bullets(analysis.observations),)
    )
    shared = [s for s in analysis.trade_offs if s.choice is None]  # each method's own stand in the summary
    if trade_offs := shared or analysis.trade_offs:
        yield Section(key="trade-offs", title="Trade-offs", level=3, blocks=(_bullets(trade_offs),))


def conclusion_section(analysis: Analysis) -> Iterator[Section]:
    """The four needs."""
    blocks = (Text("What these figures recommend, need by need:"), _bullets(analysis.recommendations))
    yield Section(key="conclusion", title="Conclusion", blocks=blocks)


def _bullets(statements: Iterable[Statement]) -> Bullets:
    return Bullets(tuple(Bullet(statement.text, statement.title) for statement in statements))
