"""How times spread over the repetitions, what a token costs in energy, and how long it takes to start."""

from collections.abc import Callable, Iterator, Sequence
from statistics import median

from quantbench.analysis import Analysis, Row, headline_point
from quantbench.analysis.formatting import MISSING, significant
from quantbench.records import METERED_S
from quantbench.report.blocks import Block, Column, Section, Table, Text
from quantbench.stats import percentile

ENOUGH_FOR_P90 = 10  # repetitions

Cell = Callable[[Row], str]


def latency_sections(analysis: Analysis) -> Iterator[Section]:
    """Left out without any speed; the columns for energy and start-up only where something is known."""
    rows = [row for row in analysis.results.rows if headline_point(row)]
    if not rows:
        return
    table = latency_table(rows)
    titles = {column.title for column in table.columns}
    legend = [LEGEND] + [text for title, text in LEGENDS.items() if title in titles]
    blocks: tuple[Block, ...] = (table, Text(" ".join(legend)))
    yield Section(key="latency", title="Spread of the times, energy and start-up", blocks=blocks)


LEGEND = (
    "TTFT and TPOT in ms over the repetitions at the headline point: median, 90th percentile (from 10 "
    "repetitions on) and the longest."
)
LEGENDS = {
    "Energy (J/token)": (
        "Energy: of the whole GPU, per generated token, prompt included, over all repetitions, known to "
        "about a tenth, as the driver's counter is coarse; missing where they lasted less than two seconds."
    ),
    "Compile (s)": (
        "Compile: kernels, by the first trial that needs them; cached ones take little time. Of "
        "transformers-static: its decode step for every shape of the sweep, before the repetitions."
    ),
    "Load (s)": "Load: reading and placing the weights, quantizing included.",
    "First run (s)": (
        "First run: compiling, capturing and touching memory for the first time, and what the first run at "
        "the headline point took longer than a repetition."
    ),
}


def latency_table(rows: Sequence[Row]) -> Table:
    """A row a method; columns that no row can fill are left out."""
    columns: dict[str, Cell] = {
        "TTFT median": lambda row: _time(row, "ttft", 0.5),
        "TTFT 90 %": lambda row: _time(row, "ttft", 0.9),
        "TTFT longest": lambda row: _time(row, "ttft", 1.0),
        "TPOT median": lambda row: _time(row, "tpot", 0.5),
        "TPOT 90 %": lambda row: _time(row, "tpot", 0.9),
        "TPOT longest": lambda row: _time(row, "tpot", 1.0),
        "Energy (J/token)": _energy,
        "Import (s)": lambda row: _startup(row, "import_s"),
        "Compile (s)": lambda row: _startup(row, "compile_s"),
        "Load (s)": lambda row: _startup(row, "load_s"),
        "Quantize (s)": lambda row: _startup(row, "quantize_s"),
        "First run (s)": _first_run,
    }
    cells = {title: [cell(row) for row in rows] for title, cell in columns.items()}
    kept = {title: values for title, values in cells.items() if any(v != MISSING for v in values)}
    table_rows = tuple(
        (row.label, *(values[place] for values in kept.values())) for place, row in enumerate(rows)
    )
    return Table((Column("Method", number=False), *(Column(title) for title in kept)), table_rows)


def _time(row: Row, which: str, level: float) -> str:
    point = headline_point(row)
    if point is None:
        return MISSING
    steps = max(1, point.new_tokens - 1)
    times = list(point.ttft_s) if which == "ttft" else [s / steps for s in point.decode_s]
    if not times or (level == 0.9 and len(times) < ENOUGH_FOR_P90):
        return MISSING
    return significant(1000 * percentile(times, level))


def _energy(row: Row) -> str:
    point = headline_point(row)
    if point is None or not point.joules or sum(point.ttft_s) + sum(point.decode_s) < METERED_S:
        return MISSING
    tokens = point.batch_size * point.new_tokens * len(point.joules)
    return significant(sum(point.joules) / tokens, 2)


def _first_run(row: Row) -> str:
    startup, point = row.record.startup, headline_point(row)
    if startup is None or startup.warmup_s is None:
        return MISSING
    extra = 0.0
    if point is not None and point.warm_s is not None:
        usual = median(a + b for a, b in zip(point.ttft_s, point.decode_s, strict=True))
        extra = max(0.0, point.warm_s - usual)
    return significant(startup.warmup_s + extra)


def _startup(row: Row, name: str) -> str:
    startup = row.record.startup
    seconds: float | None = getattr(startup, name) if startup else None
    return MISSING if seconds is None else significant(seconds)
