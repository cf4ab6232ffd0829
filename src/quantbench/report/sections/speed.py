"""Speed, memory and storage in detail, and over batch sizes and prompt lengths."""

from collections.abc import Iterator, Sequence

from quantbench.analysis import MARK, Analysis, MedianEstimate, Row, Speed
from quantbench.analysis.formatting import MISSING, significant
from quantbench.records import Calibration
from quantbench.report.blocks import Block, Column, Section, Table, Text


def detail_sections(analysis: Analysis) -> Iterator[Section]:
    """Two tables: speed where it was measured, storage where a size was."""
    rows = analysis.results.rows
    if any(row.speed or row.disturbed_speed for row in rows):
        yield Section(
            key="speed-detail", title="Speed in detail", blocks=(speed_table(rows), Text(SPEED_LEGEND))
        )
    if any(row.record.size for row in rows):
        yield Section(
            key="storage", title="Storage in detail", blocks=(storage_table(rows), Text(storage_legend(rows)))
        )


SPEED_LEGEND = (
    "In brackets: the 95 % interval of the median, or the range (marked r) of fewer than six; "
    "what counts are the medians of the passes, each a process of its own. TTFT: prompt to first "
    "token on the host. TPOT: time per output token, the first one not counted. Bandwidth: bytes that a "
    "decode step must read, per second, as a share of the best rate at which the same process read as many."
)
STORAGE_LEGEND = (
    "Bits: stored bits per parameter, scales and zero points included. On disk: the published checkpoint. "
    "Load: reading, quantizing and placing the weights."
)


BY_SQUARES = "each weight's error counts by the mean square of its input"
BY_FEEDBACK = (
    "through what was quantized so far; each matrix of the layers was rounded with error feedback over its "
    "inputs' second moments (GPTQ)"
)


def storage_legend(rows: Sequence[Row]) -> str:
    """What the columns mean, and what calibrated methods have seen."""
    told = dict.fromkeys(row.record.calibration for row in rows if row.record.calibration)
    return STORAGE_LEGEND + "".join(f" {_seen(calibration)}" for calibration in told)


def _seen(calibration: Calibration) -> str:
    """What was run through the model, and what for."""
    text, tokens = calibration.text, calibration.tokens
    what = (
        f"Calibrated: {tokens:,} tokens of {text}"
        if text
        else f"Probed: {tokens:,} token ids drawn at random"
    )
    use = BY_FEEDBACK if calibration.feedback else BY_SQUARES
    return f"{what} (sha256 {calibration.sha256[:12]}) were run through the unquantized model, and {use}."


def speed_table(rows: Sequence[Row]) -> Table:
    """A row a method at the headline point."""
    titles = ("Decode (tokens/s)", "Prefill (tokens/s)", "TTFT (ms)", "TPOT (ms)", "Bandwidth", "Repetitions")
    columns = (Column("Method", number=False), *(Column(title) for title in titles))
    return Table(columns, tuple(_speed_cells(row) for row in rows))


def _speed_cells(row: Row) -> tuple[str, ...]:
    speed = row.speed or row.disturbed_speed
    if speed is None:
        return (row.label, *(MISSING,) * 6)
    return (
        row.label if row.speed else f"{row.label} {MARK}",
        show_estimate(speed.decode),
        show_estimate(speed.prefill),
        show_estimate(speed.ttft_s, 1000),
        show_estimate(speed.tpot_s, 1000),
        _bandwidth(speed.mbu),
        str(speed.repetitions),
    )


def _bandwidth(share: float | None) -> str:
    """`79 %`; more than all of it says that the probe was slower than the model."""
    if share is None:
        return MISSING
    return f"{100 * share:.0f} %" if share <= 1 else "> 100 % (probe outrun)"


def show_estimate(estimate: MedianEstimate | None, factor: float = 1.0) -> str:
    """`40.1 [39.8, 40.3]`; an `r` behind a range; no brackets after a single repetition."""
    if estimate is None:
        return MISSING
    text = significant(estimate.value * factor)
    if estimate.interval is None:
        return text
    low, high = (significant(end * factor) for end in (estimate.interval.low, estimate.interval.high))
    return f"{text} [{low}, {high}]{' r' if estimate.ranged else ''}"


def storage_table(rows: Sequence[Row]) -> Table:
    """A row a method."""
    titles = ("Weights (bytes)", "Bits", "On disk (bytes)", "Kept at 16 bits or more", "Load (s)")
    columns = (
        Column("Method", number=False),
        Column("Scheme", number=False),
        *(Column(title) for title in titles),
    )
    return Table(columns, tuple(_storage_cells(row) for row in rows))


def _storage_cells(row: Row) -> tuple[str, ...]:
    size, startup = row.record.size, row.record.startup
    load = MISSING if startup is None or startup.load_s is None else significant(startup.load_s)
    scheme = row.record.scheme or MISSING
    if row.record.group_size:
        scheme += f", groups of {row.record.group_size}"
    if calibration := row.record.calibration:
        scheme += ", calibrated" if calibration.text else ", probed"
    if size is None:
        return (row.label, scheme, *(MISSING,) * 4, load)
    on_disk = MISSING if size.checkpoint_bytes is None else f"{size.checkpoint_bytes:,}"
    bits = significant(size.effective_bits)
    return (row.label, scheme, f"{size.weight_bytes:,}", bits, on_disk, f"{size.kept_parameters:,}", load)


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
