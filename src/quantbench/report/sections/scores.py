"""One section a task: pass@1 with its count and interval, and pass@k where there are several completions."""

from collections.abc import Iterator

from quantbench.analysis import Analysis, Results, Score
from quantbench.analysis.figures.scores import task_title
from quantbench.analysis.formatting import MISSING, share_interval
from quantbench.records import Outcome
from quantbench.report.blocks import Column, Section, Table, Text


def score_sections(analysis: Analysis) -> Iterator[Section]:
    """One section for each task that was run; its heading names the task and any restriction."""
    results = analysis.results
    for task in results.tasks:
        first = _scores(results, task)[0]
        yield Section(
            key=f"score-{task}",
            title=f"{task_title(task)} results",
            blocks=(score_table(results, task), Text(_legend(first, results))),
        )


def score_table(results: Results, task: str) -> Table:
    """A row a method, a dash where it has no score."""
    ks = tuple(dict.fromkeys(k for score in _scores(results, task) for k in score.pass_at))
    columns = (
        Column("Method", number=False),
        Column("Pass@1"),
        *(Column(f"Pass@{k}") for k in ks),
        Column("Passed"),
        Column("95 % interval"),
    )
    rows = tuple((row.label, *_cells(row.score(task), ks)) for row in results.rows)
    return Table(columns, rows)


def _cells(score: Score | None, ks: tuple[int, ...]) -> tuple[str, ...]:
    if score is None:
        return (MISSING,) * (3 + len(ks))
    several = tuple(f"{score.pass_at[k]:.3f}" if k in score.pass_at else MISSING for k in ks)
    count = f"{score.passed}/{score.total}"
    return (f"{score.pass_at_1:.3f}", *several, count, share_interval(score.interval))


def _legend(score: Score, results: Results) -> str:
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


def _by_base(results: Results, task: str) -> str:
    """'fp16 90/164, int4 82/164' of a task with further inputs; '' for others."""
    found = []
    for row in results.rows:
        score = row.score(task)
        bases = [c.base_outcome for c in score.result.completions if c.base_outcome] if score else []
        if bases:
            found.append(f"{row.label} {bases.count(Outcome.PASSED)}/{len(bases)}")
    return ", ".join(found)


def _scores(results: Results, task: str) -> list[Score]:
    return [score for row in results.rows if (score := row.score(task))]
