"""Summary: what was compared, where, and the answer in a few lines."""

from collections.abc import Iterator

from quantbench.analysis import Analysis
from quantbench.analysis.formatting import counted, listed, lower_first
from quantbench.report.blocks import Alert, Block, Bullet, Bullets, Section, Text


def summary_section(analysis: Analysis) -> Iterator[Section]:
    """Always there."""
    blocks: list[Block] = [Alert(analysis.alert)] if analysis.alert else []
    blocks.append(Text(_scope(analysis)))
    if analysis.answer:
        blocks.append(Bullets(tuple(Bullet(s.text, s.title) for s in analysis.answer)))
    choices = [s for s in analysis.recommendations if s.choice]
    if choices:
        blocks.append(Text("By these figures:"))
        blocks.append(Bullets(tuple(Bullet(_choice(s.choice or "", s.tied), s.title) for s in choices)))
    failed = [row.label for row in analysis.results.rows if row.record.failure]
    failed += [f"{floor.method}, second run" for floor in analysis.results.floors if floor.failure]
    failed += [f"{record.method}, for scale" for record in analysis.results.context if record.failure]
    if failed:
        blocks.append(
            Text(
                f"{counted(len(failed), 'trial')} failed ({listed(failed)}): what was not measured is shown "
                "as —, and the reason stands under Failures and warnings."
            )
        )
    yield Section(key="summary", title="Summary", blocks=tuple(blocks))


def _scope(analysis: Analysis) -> str:
    results = analysis.results
    if not results.rows:
        return f"No method of {results.model_name} has a record."
    labels = [row.label for row in results.rows]
    machines = dict.fromkeys(r.record.environment.gpu or r.record.environment.cpu for r in results.rows)
    text = f"{results.model_name} under {listed(labels)}, measured on {listed(list(machines))}: "
    text += listed([lower_first(metric.name) for metric in analysis.metrics] or ["no figure at all"])
    if results.baseline and len(labels) > 1:
        text += f"; ratios are to the baseline {results.baseline.label}"
    return f"{text}."


def _choice(choice: str, tied: tuple[str, ...]) -> str:
    if not tied:
        return choice
    return f"{choice} (no clear lead over {listed(tied)})"
