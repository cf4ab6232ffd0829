"""Why each method is as fast as it is, and at which batch sizes it wins or loses against the baseline."""

from collections.abc import Iterator

from quantbench.analysis import Analysis, Crossover
from quantbench.report.blocks import Block, Bullet, Bullets, Section, Text


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
