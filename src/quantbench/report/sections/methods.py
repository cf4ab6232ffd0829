"""The main table: one row a method with size, speed and memory, and what each column means."""

from collections.abc import Iterator

from quantbench.analysis import Analysis, Results
from quantbench.analysis.findings.interference import MARK
from quantbench.report.blocks import Column, Section, Table, Text
from quantbench.report.columns import byte_column, number_column


def method_section(analysis: Analysis) -> Iterator[Section]:
    """There when any method has a record."""
    results = analysis.results
    if not results.rows:
        return
    blocks = (method_table(results), Text(_legend(results)))
    yield Section(key="methods", title="Quantization methods", blocks=blocks)


def method_table(results: Results) -> Table:
    """The reference's four columns; GB becomes MB for small models, GPU Memory becomes Memory without one."""
    rows = results.rows
    shown = [row.speed or row.disturbed_speed for row in rows]
    rates = [speed.decode.value if speed and speed.decode else None for speed in shown]
    size = byte_column([row.weight_bytes for row in rows])
    memory = byte_column([row.memory_bytes for row in rows])
    speed = number_column(rates)
    columns = (
        Column("Method", number=False),
        Column(f"Model Size ({size.unit})"),
        Column("Inference Speed (tokens/sec)"),
        Column(f"{'GPU Memory' if results.on_gpu else 'Memory'} ({memory.unit})"),
    )
    cells = tuple(
        (
            row.label,
            size.show(row.weight_bytes),
            speed.show(rate) + (f" {MARK}" if rate is not None and row.speed is None else ""),
            memory.show(row.memory_bytes),
        )
        for row, rate in zip(rows, rates, strict=True)
    )
    return Table(columns, cells)


def _legend(results: Results) -> str:
    point = next((speed for row in results.rows if (speed := row.speed or row.disturbed_speed)), None)
    parts = ["Model size: bytes of the weights in memory, scales and zero points included, tied weights once"]
    if point:
        parts.append(
            f"inference speed: decoding after the first token at batch {point.batch_size}, prompt "
            f"{point.prompt_tokens} and {point.new_tokens} new tokens, median of the repetitions"
        )
    if results.on_gpu:
        swept = any(len(row.sweep) > 1 for row in results.rows)
        whole = ", at the largest point of the sweep" if swept else ""
        parts.append(f"GPU memory: the allocator's peak during the speed runs{whole}")
    else:
        parts.append("memory: the peak resident set of the trial's process")
    if any(row.disturbed_speed for row in results.rows):
        parts.append(f"{MARK}: disturbed by other programs, not to be used")
    return "; ".join(parts) + ". — is not measured."
