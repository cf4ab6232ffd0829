"""The head of the report: summary, model, the main table and the pictures."""

from collections.abc import Iterator
from dataclasses import replace

from quantbench.analysis import MARK, Analysis, Rows
from quantbench.analysis.formatting import MISSING, counted, lower_first
from quantbench.records import ModelInfo
from quantbench.report.blocks import Alert, Block, Bullet, Bullets, Column, Image, Section, Table, Text
from quantbench.report.charts import HEATMAP, LOADS, file_of, has_heatmap, loads_of, pictured
from quantbench.report.columns import byte_column, number_column
from quantbench.units import listed, show_count


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


def model_section(analysis: Analysis) -> Iterator[Section]:
    """Always there; a dash for what no trial could read. Of several models each has a line."""
    results = analysis.results
    model = results.model
    if len(found := models_of(results)) > 1:
        lines = tuple(Bullet(_in_a_line(own), own.name) for own in found)
        yield Section(key="model", title="Model information", blocks=(Bullets(lines),))
        return
    items = [Bullet(results.model_name, "Base model")]
    if model is None:
        items += [Bullet(MISSING, "Architecture"), Bullet(MISSING, "Parameter count")]
    else:
        items += _known(model)
    yield Section(key="model", title="Model information", blocks=(Bullets(tuple(items)),))


def models_of(results: Rows) -> list[ModelInfo]:
    """The models of all rows, each once."""
    known = (row.record.model for row in results.rows if row.record.model)
    return list({model.name: model for model in known}.values())


def _in_a_line(model: ModelInfo) -> str:
    """The facts of one model of several."""
    return "; ".join(f"{lower_first(fact.lead)} {fact.text}" for fact in _known(model))


def _known(model: ModelInfo) -> Iterator[Bullet]:
    if model.revision:
        yield Bullet(model.revision, "Revision")
    shape = [
        f"{count:,} {noun}"
        for count, noun in (
            (model.layers, "layers"),
            (model.hidden_size, "hidden units"),
            (model.vocab_size, "tokens in the vocabulary"),
        )
        if count
    ]
    yield Bullet(", ".join([model.architecture, *shape]), "Architecture")
    count = model.parameters
    told = MISSING if count is None else f"{show_count(count)} ({count:,}, tied weights once)"
    yield Bullet(told, "Parameter count")
    if model.note:
        yield Bullet(model.note, "Note")


def method_section(analysis: Analysis) -> Iterator[Section]:
    """There when any method has a record."""
    results = analysis.results
    if not results.rows:
        return
    blocks = (method_table(results), Text(_legend(results)))
    yield Section(key="methods", title="Quantization methods", blocks=blocks)


def method_table(results: Rows) -> Table:
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


def _legend(results: Rows) -> str:
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
        parts.append("memory: the peak resident set of the trial's process while running")
    if any(row.disturbed_speed for row in results.rows):
        parts.append(f"{MARK}: disturbed by other programs, not to be used")
    return "; ".join(parts) + ". — is not measured."


TRADEOFFS = "performance_tradeoffs.html"
PAGE = "report.html"


def picture_section(analysis: Analysis) -> Iterator[Section]:
    """The pictures and the interactive pages, where something was measured."""
    if not analysis.metrics:
        return
    bars = tuple(Image(file_of(m.key), f"{m.name} of every method") for m in pictured(analysis))
    heatmap = (
        (Image(HEATMAP, "All metrics, scaled from the worst to the best method"),)
        if has_heatmap(analysis)
        else ()
    )
    loads = tuple(Image(LOADS[kind], f"Throughput against latency, {kind}") for kind in loads_of(analysis))
    chart = Image(TRADEOFFS, f"{TRADEOFFS}: an interactive chart of the trade-offs")
    page = Image(PAGE, f"{PAGE}: this report as a page, with charts to ask and the answers that changed")
    yield Section(key="pictures", title="Visualizations", blocks=(*bars, *heatmap, *loads, chart, page))


def without_pages(section: Section) -> Section:
    """The section without links to HTML pages, for a report that is written without them."""
    blocks = tuple(b for b in section.blocks if not (isinstance(b, Image) and b.file.endswith(".html")))
    return replace(section, blocks=blocks)
