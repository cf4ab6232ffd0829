"""pass@1 problem by problem against the baseline, with the noise floor beside it."""

from collections.abc import Iterator

from quantbench.analysis import Analysis
from quantbench.analysis.paired import PairedScore
from quantbench.analysis.scores import task_title
from quantbench.analysis.wording import MISSING
from quantbench.report.blocks import Block, Column, Section, Table, Text


def paired_sections(analysis: Analysis) -> Iterator[Section]:
    """One section, one table a task; left out where no method can be paired with the baseline."""
    if not analysis.paired:
        return
    blocks: list[Block] = []
    tasks = dict.fromkeys(pair.task for pair in analysis.paired)
    for task in tasks:
        if len(tasks) > 1:
            blocks.append(Text(f"{task_title(task)}:"))
        blocks.append(paired_table(analysis, task))
    blocks.append(Text(_legend(analysis)))
    name = analysis.results.baseline_name
    yield Section(key="paired", title=f"Which pass@1 differences from {name} are real", blocks=tuple(blocks))


def paired_table(analysis: Analysis, task: str) -> Table:
    """A row a method, then one a rerun of the baseline."""
    titles = ("Won", "Lost", "Difference (points)", "95 % interval", "p (Holm)", "Would be seen from")
    columns = (Column("Method", number=False), *(Column(title) for title in titles))
    rows = [_cells(pair) for pair in analysis.paired if pair.task == task]
    rows += [
        (entry.label, str(entry.gained), str(entry.lost), *(MISSING,) * 4, "noise floor")
        for entry in analysis.floor
        if entry.task == task
    ]
    return Table((*columns, Column("Verdict", number=False)), tuple(rows))


def _cells(pair: PairedScore) -> tuple[str, ...]:
    interval = MISSING
    if pair.interval is not None:
        interval = f"{100 * pair.interval.low:+.1f} to {100 * pair.interval.high:+.1f}"
    return (
        pair.label,
        str(pair.gained),
        str(pair.lost),
        f"{100 * pair.difference:+.1f}",
        interval,
        "< 0.001" if pair.adjusted_p < 0.001 else f"{pair.adjusted_p:.3f}",
        MISSING if pair.detectable is None else f"±{100 * pair.detectable:.1f}",
        verdict_of(pair),
    )


def verdict_of(pair: PairedScore) -> str:
    """The change in plain words; says when only the other comparisons take it back."""
    if pair.only_alone:
        return f"{pair.change} (alone it would: p = {pair.p:.3f})"
    return str(pair.change)


def _legend(analysis: Analysis) -> str:
    text = (
        "Won and lost: problems that only the method or only the baseline solves (with several "
        "completions a problem, more often). p: exact McNemar test, corrected for all comparisons of this "
        "report (Holm). Interval: Tango's score interval of the paired difference; near 0 the exact test "
        "is the stricter one. Would be seen from: the smallest true difference that so many problems find "
        "with 80 % power; anything smaller goes unnoticed, so 'cannot be told apart' is no proof of "
        "equality."
    )
    if analysis.floor:
        most = max(entry.flips for entry in analysis.floor)
        text += (
            " The noise floor is the baseline run again without any change of method: it alone changes up to "
            f"{most} outcomes, and a method that changes no more is indistinguishable from it."
        )
    return text
