"""Tasks of lm-eval: its figures, and which differences from the baseline are real."""

from collections.abc import Iterator, Sequence

from quantbench.analysis import Analysis, HarnessScore
from quantbench.analysis.formatting import MISSING, significant
from quantbench.report.blocks import Block, Column, Section, Table, Text
from quantbench.stats import Interval
from quantbench.units import listed

ARROWS = {True: " ↑", False: " ↓", None: ""}


def harness_sections(analysis: Analysis) -> Iterator[Section]:
    """A section a task: a row a method, a column a metric."""
    for task in dict.fromkeys(score.result.task for score in analysis.harness):
        scores = [score for score in analysis.harness if score.result.task == task]
        yield Section(
            key=f"harness-{task}",
            title=f"{task} results",
            blocks=(value_table(scores, [row.label for row in analysis.results.rows]), Text(legend(scores))),
        )


def value_table(scores: Sequence[HarnessScore], methods: Sequence[str]) -> Table:
    """Values with their intervals; a dash where a method has none."""
    metrics = {score.metric.name: score.metric.higher_is_better for score in scores}
    cells = {(score.label, score.metric.name): value_cell(score) for score in scores}
    columns = (Column("Method", number=False), *(Column(name + ARROWS[up]) for name, up in metrics.items()))
    rows = ((method, *(cells.get((method, name), MISSING) for name in metrics)) for method in methods)
    return Table(columns, tuple(rows))


def value_cell(score: HarnessScore) -> str:
    """'0.612 [0.570, 0.652]'."""
    return figure(score.metric.value) + (f" [{ends(score.interval)}]" if score.interval else "")


def figure(value: float) -> str:
    """Three decimals below 10, four digits above."""
    return f"{value:.3f}" if abs(value) < 10 else significant(value, 4)


def ends(interval: Interval) -> str:
    """'0.570, 0.652'."""
    return f"{figure(interval.low)}, {figure(interval.high)}"


def legend(scores: Sequence[HarnessScore]) -> str:
    """What was asked, of how many items, and how the intervals were made."""
    result = scores[0].result
    text = f"{result.version}; {len(result.items)} items"
    if result.tasks > 1:
        text += f" of {result.tasks} tasks"
    if result.shots is not None:
        text += f", {result.shots} examples in a prompt"
    if result.task.startswith("lm-eval-chat:"):
        text += ", asked in the model's chat template"
    if result.limit is not None:
        text += f"; only the first {result.limit} of each task, so not comparable with published figures"
    return (
        f"{text}. Values are lm-eval's own; in brackets 95 % intervals over items (Wilson for 0 and 1, "
        "Student's t otherwise)."
    )


def harness_pair_sections(analysis: Analysis) -> Iterator[Section]:
    """One section, one table a task; left out where no method was compared with the baseline."""
    compared = [score for score in analysis.harness if not score.is_baseline]
    if not any(score.pair for score in compared):
        return
    blocks: list[Block] = []
    for task in dict.fromkeys(score.result.task for score in compared):
        blocks.append(Text(f"{task}:"))
        blocks.append(pair_table([score for score in compared if score.result.task == task]))
    blocks.append(Text(pair_legend(compared)))
    name = analysis.results.baseline_name
    title = f"Which differences from {name} on lm-eval's tasks are real"
    yield Section(key="harness-paired", title=title, blocks=tuple(blocks))


def pair_table(scores: Sequence[HarnessScore]) -> Table:
    """A row a method and metric."""
    texts = (Column("Method", number=False), Column("Metric", number=False))
    titles = ("Won", "Lost", "Change", "95 % interval", "p (Holm)")
    columns = (*texts, *map(Column, titles), Column("Verdict", number=False))
    return Table(columns, tuple(map(pair_cells, scores)))


def pair_cells(score: HarnessScore) -> tuple[str, ...]:
    """One comparison; dashes where there is none."""
    head, pair = (score.label, score.metric.name), score.pair
    if pair is None:
        return (*head, *(MISSING,) * 5, str(score.verdict))
    sign, show = ("x ", "{:.4f}") if score.is_ratio else ("", "{:+.4f}")
    low_high = pair.interval and f"{show.format(pair.interval.low)} to {show.format(pair.interval.high)}"
    p = pair.adjusted_p
    return (
        *head,
        MISSING if pair.won is None else str(pair.won),
        MISSING if pair.lost is None else str(pair.lost),
        sign + show.format(pair.change),
        low_high or MISSING,
        MISSING if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}",
        str(score.verdict),
    )


def pair_legend(scores: Sequence[HarnessScore]) -> str:
    """The tests by their names, and what was not compared."""
    tests = listed(list(dict.fromkeys(score.pair.test for score in scores if score.pair)))
    text = (
        f"Item by item; p: {tests} test, corrected for all methods, tasks and metrics of these tables "
        "(Holm). Won and lost: items of greater and smaller value. A perplexity's change is a ratio. 'Not "
        "significantly different' is no proof of equality."
    )
    if any(score.pair is None or score.pair.p is None for score in scores):
        text += (
            " Not compared: fewer than 8 items, or a metric whose value does not follow from one number an "
            "item."
        )
    return text
