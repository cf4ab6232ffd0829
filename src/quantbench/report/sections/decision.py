"""What a decision rests on: the Pareto front, and how much the best balance hangs on taste."""

from collections.abc import Iterator

from quantbench.analysis import Analysis
from quantbench.analysis.findings.pareto import Place, Standing
from quantbench.analysis.formatting import listed, lower_first
from quantbench.report.blocks import Bullet, Bullets, Column, Section, Table, Text


def decision_sections(analysis: Analysis) -> Iterator[Section]:
    """The front where at least two methods have all figures, the weightings where they differ."""
    if len(analysis.standings) > 1:
        bullets = Bullets(tuple(Bullet(_standing(entry), entry.label) for entry in analysis.standings))
        names = [m.name if "pass@1" in m.name else m.name.lower() for m in analysis.metrics]
        intro = Text(f"Over {listed(names)}; a method on the front is beaten by no other on all of them.")
        yield Section(key="front", title="Pareto front", level=3, blocks=(intro, bullets))
    if analysis.weightings is not None:
        yield Section(
            key="weightings",
            title="How much the best balance hangs on taste",
            level=3,
            blocks=(weighting_table(analysis), Text(_legend(analysis))),
        )


def _standing(entry: Standing) -> str:
    if entry.place is Place.UNPLACED:
        return f"{entry.place}: {listed([lower_first(name) for name in entry.missing])}"
    if entry.place is Place.FRONT:
        return str(entry.place)
    return f"{entry.place} ({listed(entry.beaten_by)})"


def weighting_table(analysis: Analysis) -> Table:
    """A row a method with its share of all weightings, the largest first."""
    if analysis.weightings is None:
        raise ValueError("no weightings")
    rows = tuple((label, _share(share)) for label, share in analysis.weightings.shares)
    return Table((Column("Method", number=False), Column("Wins under (% of all weightings)")), rows)


def _share(share: float) -> str:
    if share <= 0:
        return "none"
    return "< 1" if share < 0.01 else f"{100 * share:.0f}"


def _legend(analysis: Analysis) -> str:
    found = analysis.weightings
    if found is None:
        raise ValueError("no weightings")
    text = (
        f"Every way of weighting {listed(found.parts)} counts the same; each is scaled from 0 (worst) to 1 "
        "(best) as in the best overall balance, which is the one weighting that treats its parts alike."
        if len(found.parts) > 1
        else f"Only {found.parts[0]} tells methods apart, so that no weighting matters."
    )
    if found.left_out:
        text += f" Not ranked, as figures are missing: {listed(found.left_out)}."
    if found.refused:
        text += f" Not ranked, as a loss beyond the tolerance is proven: {listed(found.refused)}."
    if found.noise:
        text += f" Left out, as no two methods are shown to differ there: {listed(found.noise)}."
    return text
