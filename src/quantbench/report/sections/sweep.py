"""Sweeps: one table a prompt length, batch sizes as columns; only where more than one point was measured."""

from collections.abc import Iterator, Sequence

from quantbench.analysis import Analysis, Row, Speed
from quantbench.analysis.formatting import MISSING, significant
from quantbench.report.blocks import Block, Column, Section, Table, Text


def sweep_sections(analysis: Analysis) -> Iterator[Section]:
    """Decode rates and times to first token over batch sizes and prompt lengths."""
    rows = analysis.results.rows
    points = dict.fromkeys((s.batch_size, s.prompt_tokens) for row in rows for s in row.sweep)
    if len(points) < 2:
        return
    blocks: list[Block] = []
    for prompt in dict.fromkeys(prompt for _, prompt in points):
        batches = [batch for batch, length in points if length == prompt]
        blocks += [Text(f"Prompt of {prompt} tokens:"), sweep_table(rows, prompt, batches)]
    blocks.append(Text(LEGEND))
    yield Section(key="sweep", title="Speed over batch sizes and prompt lengths", blocks=tuple(blocks))


LEGEND = "Decode tokens/s of the whole batch, then the time to first token; medians."


def sweep_table(rows: Sequence[Row], prompt: int, batches: Sequence[int]) -> Table:
    """A row a method, a column a batch size."""
    columns = (Column("Method", number=False), *(Column(f"Batch {batch}") for batch in batches))
    cells = tuple((row.label, *(_cell(_find(row, batch, prompt)) for batch in batches)) for row in rows)
    return Table(columns, cells)


def _find(row: Row, batch: int, prompt: int) -> Speed | None:
    return next((s for s in row.sweep if (s.batch_size, s.prompt_tokens) == (batch, prompt)), None)


def _cell(speed: Speed | None) -> str:
    if speed is None or speed.decode is None:
        return "failed" if speed and speed.failure else MISSING
    ttft = f", {significant(1000 * speed.ttft_s.value)} ms" if speed.ttft_s else ""
    return f"{significant(speed.decode.value)}{ttft}"
