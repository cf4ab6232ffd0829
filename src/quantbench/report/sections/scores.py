"""Scores of the tasks: tables, the same problem by problem, how answers failed, what the protocols change."""

from collections.abc import Iterator

from quantbench.analysis import (
    MCNEMAR,
    Analysis,
    Anatomy,
    Ending,
    FloorFlips,
    PairedScore,
    ProtocolSpread,
    Rows,
    Score,
    Way,
    task_title,
)
from quantbench.analysis.formatting import MISSING, share_interval, signed
from quantbench.records import Outcome
from quantbench.report.blocks import Block, Bullet, Bullets, Column, Section, Table, Text
from quantbench.stats import wilson_interval
from quantbench.units import listed


def score_sections(analysis: Analysis) -> Iterator[Section]:
    """One section for each task that was run; its heading names the task and any restriction."""
    results = analysis.results
    for task in results.tasks:
        first = _scores(results, task)[0]
        yield Section(
            key=f"score-{task}",
            title=f"{task_title(task)} results",
            blocks=(score_table(results, task), Text(_score_legend(first, results))),
        )


def score_table(results: Rows, task: str) -> Table:
    """A row a method, a dash where it has no score."""
    ks = tuple(dict.fromkeys(k for score in _scores(results, task) for k in score.pass_at))
    columns = (
        Column("Method", number=False),
        Column("Pass@1"),
        *(Column(f"Pass@{k}") for k in ks),
        Column("Passed"),
        Column("95 % interval"),
    )
    rows = tuple((row.label, *_score_cells(row.score(task), ks)) for row in results.rows)
    return Table(columns, rows)


def _score_cells(score: Score | None, ks: tuple[int, ...]) -> tuple[str, ...]:
    if score is None:
        return (MISSING,) * (3 + len(ks))
    several = tuple(f"{score.pass_at[k]:.3f}" if k in score.pass_at else MISSING for k in ks)
    count = f"{score.passed}/{score.total}"
    return (f"{score.pass_at_1:.3f}", *several, count, share_interval(score.interval))


def _score_legend(score: Score, results: Rows) -> str:
    text = f"{score.problems} problems"
    if score.per_problem > 1:
        text += f", {score.per_problem} completions each, unbiased pass@k"
    text += "; Wilson intervals" + (" over problems" if score.per_problem > 1 else "")
    text += ". They say how far a score could lie from the model's true one, not whether two methods differ: "
    text += "for that the same problems are compared one by one, below."
    if by_base := _by_base(results, score.task):
        text += f" Passed under base and plus inputs; under the base's alone: {by_base}."
    if not score.result.comparable:
        note = f" ({score.result.note})" if score.result.note else ""
        text += f" Not comparable with published figures{note}."
    return text


def _by_base(results: Rows, task: str) -> str:
    """'fp16 90/164, int4 82/164' of a task with further inputs; '' for others."""
    found = []
    for row in results.rows:
        score = row.score(task)
        bases = [c.base_outcome for c in score.result.completions if c.base_outcome] if score else []
        if bases:
            found.append(f"{row.label} {bases.count(Outcome.PASSED)}/{len(bases)}")
    return ", ".join(found)


def _scores(results: Rows, task: str) -> list[Score]:
    return [score for row in results.rows if (score := row.score(task))]


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
        if told := detectable_bullets(analysis, task):
            blocks.append(Bullets(told))
    blocks.append(Text(_paired_legend(analysis)))
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
    rows = [_paired_cells(pair, pair.verdict) for pair in analysis.paired if pair.task == task]
    rows += [_paired_cells(pair, "for scale, not judged") for pair in analysis.scale if pair.task == task]
    rows += [_floor_cells(entry) for entry in analysis.floor if entry.task == task]
    return Table((*columns, Column("Verdict", number=False)), tuple(rows))


def detectable_bullets(analysis: Analysis, task: str) -> tuple[Bullet, ...]:
    """How small a difference the number of answers shows, a method a bullet; none for one answer each."""
    found = []
    for pair in analysis.paired:
        if pair.task != task or not pair.by_answers:
            continue
        n = pair.answers
        others = [f"{100 * value:.1f} with {k}" for k, value in pair.by_answers.items() if k != n]
        text = (
            f"with {n} answers to each of {pair.problems} problems, differences below "
            f"{100 * pair.by_answers[n]:.1f} points would not be seen (80 % power); foretold from these "
            f"answers: {', '.join(others)}."
        )
        found.append(Bullet(text, pair.label))
    return tuple(found)


def _floor_cells(entry: FloorFlips) -> tuple[str, ...]:
    changed = _changed(entry.flips, entry.problems)
    return (entry.label, str(entry.gained), str(entry.lost), changed, *(MISSING,) * 4, "noise floor")


def _changed(flips: int, problems: int) -> str:
    """Share of changed outcomes with its 95 % interval over problems."""
    interval = wilson_interval(flips, problems).scaled(100)
    return f"{100 * flips / problems:.1f} [{interval.low:.1f}, {interval.high:.1f}]"


def _paired_cells(pair: PairedScore, verdict: str) -> tuple[str, ...]:
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


def _paired_legend(analysis: Analysis) -> str:
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
        "answers scatter as they did here; 'not significantly different' is no proof of equality."
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


ANATOMY_LEGEND = (
    "Each answer is counted once, by what came first: an answer that met the length limit is cut, however "
    "its program failed; then one in which no code (or number) was found; then how the program ended. A "
    "wrong answer is a failed assertion; an exception may come from the program or from its test."
)


def anatomy_sections(analysis: Analysis) -> Iterator[Section]:
    """One section a task; left out where no outcome is known."""
    for task in dict.fromkeys(entry.task for entry in analysis.anatomies):
        entries = [entry for entry in analysis.anatomies if entry.task == task]
        lost = tuple(Bullet(entry.sentence) for entry in entries if entry.sentence)
        kinds = tuple(Bullet(text, entry.label) for entry in entries if (text := exceptions(entry)))
        yield Section(
            key=f"anatomy-{task}",
            title=f"How answers to {task_title(task)} failed",
            blocks=(
                anatomy_table(entries),
                *((Bullets(lost),) if lost else ()),
                *((Text("Exceptions by kind:"), Bullets(kinds)) if kinds else ()),
                Text(ANATOMY_LEGEND),
            ),
        )


def anatomy_table(entries: list[Anatomy]) -> Table:
    """A row a method, a column an ending that occurred."""
    endings = [end for end in Ending if any(entry.endings.get(end) for entry in entries)]
    columns = (Column("Method", number=False), *(Column(end.capitalize()) for end in endings))
    rows = tuple((entry.label, *(str(entry.endings.get(end, 0)) for end in endings)) for entry in entries)
    return Table(columns, rows)


def exceptions(entry: Anatomy) -> str:
    """'NameError 3, TypeError 1'."""
    return ", ".join(f"{kind} {count}" for kind, count in entry.exceptions.items())


PROTOCOLS_LEGEND = (
    "Pass@1 with the problems passed, and against the baseline under the same protocol the difference in "
    "points with its p-value, corrected for all methods and protocols of this table (Holm). Scores elsewhere "
    "in this report are those of the first protocol."
)


def protocol_sections(analysis: Analysis) -> Iterator[Section]:
    """One section for each task that was asked in several ways."""
    for spread in analysis.spreads:
        yield Section(
            key=f"protocols-{spread.task}",
            title=f"{task_title(spread.task)} under several protocols",
            blocks=(
                protocol_table(spread, [row.label for row in analysis.results.rows]),
                Bullets(tuple(map(Bullet, spread.statements))),
                Text(PROTOCOLS_LEGEND),
            ),
        )


def protocol_table(spread: ProtocolSpread, methods: list[str]) -> Table:
    """A row a protocol, a column a method."""
    columns = (Column("Protocol", number=False), *map(Column, methods))
    rows = tuple((way.protocol, *(_cell(way, method) for method in methods)) for way in spread.ways)
    return Table(columns, rows)


def _cell(way: Way, method: str) -> str:
    score, pair = way.scores.get(method), way.pairs.get(method)
    if score is None:
        return MISSING
    text = f"{score.pass_at_1:.3f} ({score.passed}/{score.total})"
    if pair is None:
        return text
    p = "p < 0.001" if pair.adjusted_p < 0.001 else f"p = {pair.adjusted_p:.3f}"
    return f"{text}, {signed(100 * pair.difference)} ({p})"
