"""What the analysis found: observations, decisions, reasons, issues and caveats, as lists and tables."""

from collections.abc import Iterable, Iterator, Sequence

from quantbench.analysis import Analysis, Crossover, FrontPlace, Issue, Standing, Statement
from quantbench.analysis.formatting import lower_first
from quantbench.report.blocks import Block, Bullet, Bullets, Column, Section, Table, Text
from quantbench.units import listed


def finding_sections(analysis: Analysis) -> Iterator[Section]:
    """Key observations and trade-offs; left out when nothing was measured."""
    if not analysis.observations:
        return
    yield Section(key="analysis", title="Performance analysis")
    yield Section(
        key="observations",
        title="Key observations",
        level=3,
        blocks=(_statements(analysis.observations),),
    )
    shared = [s for s in analysis.trade_offs if s.choice is None]  # each method's own stand in the summary
    if trade_offs := shared or analysis.trade_offs:
        yield Section(key="trade-offs", title="Trade-offs", level=3, blocks=(_statements(trade_offs),))


def conclusion_section(analysis: Analysis) -> Iterator[Section]:
    """The four use cases."""
    blocks = (
        Text("What these figures recommend, use case by use case:"),
        _statements(analysis.recommendations),
    )
    yield Section(key="conclusion", title="Conclusion", blocks=blocks)


def _statements(statements: Iterable[Statement]) -> Bullets:
    return Bullets(tuple(Bullet(statement.text, statement.title) for statement in statements))


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
    if entry.place is FrontPlace.UNPLACED:
        return f"{entry.place}: {listed([lower_first(name) for name in entry.missing])}"
    if entry.place is FrontPlace.FRONT:
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


def reason_sections(analysis: Analysis) -> Iterator[Section]:
    """One line a method; the crossovers where several batch sizes were measured."""
    blocks: list[Block] = []
    if analysis.diagnoses:
        blocks.append(Bullets(tuple(Bullet(entry.text, entry.label) for entry in analysis.diagnoses)))
    if analysis.crossovers:
        blocks.append(Text(f"Decode speed over batch sizes, against {analysis.results.baseline_name}:"))
        blocks.append(Bullets(tuple(_crossover(entry) for entry in analysis.crossovers)))
    if blocks:
        yield Section(key="reasons", title="Why these speeds", blocks=tuple(blocks))


def _crossover(entry: Crossover) -> Bullet:
    turn = f"; it turns at batch {entry.batch_size}" if entry.batch_size else ""
    return Bullet(f"{entry.text}{turn}.", f"{entry.label}, prompt of {entry.prompt_tokens} tokens")


def caveat_section(analysis: Analysis) -> Iterator[Section]:
    """Left out only when there is nothing to be careful about, that is without any record."""
    if analysis.caveats:
        bullets = Bullets(tuple(Bullet(text) for text in analysis.caveats))
        yield Section(key="caveats", title="What it cannot tell", blocks=(bullets,))


def issue_section(analysis: Analysis) -> Iterator[Section]:
    """Left out when all went as asked."""
    found = [issue for issue in analysis.issues if not issue.interference]
    if found:
        yield Section(key="issues", title="Failures and warnings", blocks=(_issues(found),))


def interference_section(analysis: Analysis) -> Iterator[Section]:
    """Signs that something else ran while speed was measured, method by method."""
    found = [issue for issue in analysis.issues if issue.interference]
    if found:
        yield Section(key="interference", title="What disturbed the speeds", blocks=(_issues(found),))


def _issues(issues: Sequence[Issue]) -> Bullets:
    return Bullets(tuple(Bullet(issue.text, issue.label) for issue in issues))
