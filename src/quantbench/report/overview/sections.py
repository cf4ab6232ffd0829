"""The overview as sections: the table, the front, what methods change, the models' own reports."""

from collections.abc import Iterator

from quantbench.analysis import Overview
from quantbench.analysis.formatting import MISSING
from quantbench.report.blocks import Bullet, Bullets, Column, Image, Section, Table, Text
from quantbench.report.columns import byte_column, number_column
from quantbench.units import show_count


def overview_sections(overview: Overview, page: str) -> tuple[Section, ...]:
    """All sections; `page` is the file of each model's own report to link."""
    return tuple(
        section for part in (_methods, _front, _effects, _failures) for section in part(overview)
    ) + tuple(_reports(overview, page))


def _methods(overview: Overview) -> Iterator[Section]:
    legend = (
        "Each model's methods are compared with that model's own baseline; verdicts on pass@1 are those of "
        f"its own report. Speeds are medians of decoding at each model's headline point. {MISSING} is not "
        "measured, or a speed that other programs disturbed."
    )
    yield Section(key="methods", title="All models and methods", blocks=(row_table(overview), Text(legend)))


def row_table(overview: Overview) -> Table:
    """One line a model and method."""
    rows = overview.rows
    size = byte_column([row.weight_bytes for row in rows])
    memory = byte_column([row.memory_bytes for row in rows])
    speed = number_column([row.speed.value if row.speed else None for row in rows])
    columns = [
        Column("Model", number=False),
        Column("Method", number=False),
        Column("Parameters"),
        Column(f"Size ({size.unit})"),
        Column("Tokens/s"),
        Column(f"Memory ({memory.unit})"),
    ]
    for task in overview.tasks:
        columns += [Column(f"{task} pass@1"), Column("Against its baseline", number=False)]
    cells = []
    for row in rows:
        line = [
            row.name,
            row.method + (" (baseline)" if row.is_baseline else ""),
            show_count(row.parameters) if row.parameters else MISSING,
            size.show(row.weight_bytes),
            speed.show(row.speed.value if row.speed else None),
            memory.show(row.memory_bytes),
        ]
        for task in overview.tasks:
            score = row.scores.get(task)
            line += [f"{score.value:.3f}" if score else MISSING, row.verdicts.get(task, MISSING)]
        cells.append(tuple(line))
    return Table(tuple(columns), tuple(cells))


def _front(overview: Overview) -> Iterator[Section]:
    front = overview.front
    if not front.axes:
        return
    rows = tuple(
        (
            standing.label,
            str(standing.place),
            ", ".join(standing.beaten_by) or ", ".join(standing.missing) or MISSING,
        )
        for standing in front.standings
    )
    columns = (
        Column("Model and method", number=False),
        Column("Place", number=False),
        Column("Behind, or without", number=False),
    )
    text = (
        f"By {', '.join(front.axes)}, all at once. Behind is only what another beats by more than both "
        f"intervals allow. {' '.join(front.left_out)}"
    )
    yield Section(key="front", title="Front over all models", blocks=(Table(columns, rows), Text(text)))


def _effects(overview: Overview) -> Iterator[Section]:
    if not overview.effects:
        return
    text = (
        "Each model gives one value a method, its change against its own baseline; means and slopes have "
        "95 % intervals by Student's t, with models as what was sampled: they hold for models like these. "
        "Slopes are over doublings of the number of parameters, those of a figure corrected together (Holm)."
    )
    blocks = (effect_table(overview), Text(text))
    yield Section(key="effects", title="What methods change over models", blocks=blocks)


def effect_table(overview: Overview) -> Table:
    """One line a figure and method."""
    columns = (
        Column("Figure", number=False),
        Column("Method", number=False),
        Column("Models"),
        Column("Mean change"),
        Column("By size of the model", number=False),
    )
    rows = tuple(
        (
            effect.metric,
            effect.method,
            str(effect.models),
            effect.shown(effect.mean.value, effect.mean.interval) if effect.mean else MISSING,
            effect.sentence,
        )
        for effect in overview.effects
    )
    return Table(columns, rows)


def _failures(overview: Overview) -> Iterator[Section]:
    items = [Bullet(row.failure, row.label) for row in overview.rows if row.failure]
    items += [Bullet(absent.reason, absent.name) for absent in overview.absent]
    if items:
        yield Section(key="failures", title="Failures", blocks=(Bullets(tuple(items)),))


def _reports(overview: Overview, page: str) -> Iterator[Section]:
    links = tuple(Image(f"models/{name}/{page}", f"{name}: its own report") for name in overview.models)
    if links:
        yield Section(key="reports", title="Each model's own report", blocks=links)
