"""pass@1 problem by problem against the baseline, with the noise floor beside it."""

from collections.abc import Iterator

from quantbench.analysis import Analysis
from quantbench.analysis.comparison.floor import FloorFlips
from quantbench.analysis.comparison.paired import PairedScore
from quantbench.analysis.comparison.pairing import MCNEMAR
from quantbench.analysis.figures.scores import task_title
from quantbench.analysis.formatting import MISSING, listed
from quantbench.report.blocks import Block, Column, Section, Table, Text
from quantbench.stats import wilson_interval


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
    """A row a method, then what is shown for scale, then the baseline's reruns."""
    titles = (
        "Won",
        "Lost",
        "Changed (%)",
        "Difference (points)",
        "95 % interval",
        "p (Holm)",
        "Minimum detectable (points)",
    )
    columns = (Column("Method", number=False), *(Column(title) for title in titles))
    rows = [_cells(pair, verdict_of(pair)) for pair in analysis.paired if pair.task == task]
    rows += [_cells(pair, "for scale, not judged") for pair in analysis.scale if pair.task == task]
    rows += [_floor_cells(entry) for entry in analysis.floor if entry.task == task]
    return Table((*columns, Column("Verdict", number=False)), tuple(rows))


def _floor_cells(entry: FloorFlips) -> tuple[str, ...]:
    changed = _changed(entry.flips, entry.problems)
    return (entry.label, str(entry.gained), str(entry.lost), changed, *(MISSING,) * 4, "noise floor")


def _changed(flips: int, problems: int) -> str:
    """Share of changed outcomes with its 95 % interval over problems."""
    interval = wilson_interval(flips, problems).scaled(100)
    return f"{100 * flips / problems:.1f} [{interval.low:.1f}, {interval.high:.1f}]"


def _cells(pair: PairedScore, verdict: str) -> tuple[str, ...]:
    interval = MISSING
    if pair.interval is not None:
        interval = f"{100 * pair.interval.low:+.1f} to {100 * pair.interval.high:+.1f}"
    return (
        pair.label,
        str(pair.gained),
        str(pair.lost),
        _changed(pair.flips, pair.problems),
        f"{100 * pair.difference:+.1f}",
        interval,
        "< 0.001" if pair.adjusted_p < 0.001 else f"{pair.adjusted_p:.3f}",
        MISSING if pair.detectable is None else f"±{100 * pair.detectable:.1f}",
        verdict,
    )


def verdict_of(pair: PairedScore) -> str:
    """The change in plain words; says when only the other comparisons take it back, and what reruns say."""
    if pair.only_alone:
        return f"{pair.change} (alone it would: p = {pair.p:.3f})"
    if pair.like_rerun:
        return f"{pair.change}, no more changed than in a rerun"
    return str(pair.change)


def _legend(analysis: Analysis) -> str:
    tests = listed(list(dict.fromkeys(pair.test for pair in analysis.paired)))
    single = all(pair.test == MCNEMAR for pair in analysis.paired)
    won = "problems that only the method or only the baseline solves"
    if not single:
        won = "problems that the method or the baseline solves more often, with several completions each"
    intervals = "Tango's score interval of the paired difference; near 0 the exact test is the stricter one"
    text = (
        f"Won and lost: {won}; changed: both, with a Wilson interval. p: {tests} test"
        f"{'' if single else ' of the mean difference'}, corrected for all comparisons (Holm). "
        f"Interval: {intervals if single else 'Student t over the problems of the mean difference'}. "
        "Minimum detectable difference: the smallest true one that so many problems find with 80 % power, if "
        "answers scatter as they did here; 'cannot be told apart' is no proof of equality."
    )
    if analysis.floor:
        text += (
            " Noise floor: the baseline run again in another batch shape. 'No more changed than in a rerun' "
            "asks for no more problems won and no more lost, and for predictions within the floor as well."
        )
    if analysis.scale:
        names = listed(list(dict.fromkeys(pair.label.partition(" ")[0] for pair in analysis.scale)))
        text += (
            f" {names}: the baseline's weights in another number format, shown for scale; its p stands for "
            "itself."
        )
    return text
