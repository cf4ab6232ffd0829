"""The head of a report: what each method buys and costs, one sentence a method, with its certainty.

Everything said here stands with its evidence further down; nothing is judged anew.
"""

from collections.abc import Iterator, Mapping, Sequence

from quantbench.analysis.comparison.distance import MethodDistance
from quantbench.analysis.comparison.harness import HarnessScore, HarnessVerdict
from quantbench.analysis.comparison.metrics import MEMORY, SIZE, SPEED
from quantbench.analysis.comparison.paired import Change, PairedScore
from quantbench.analysis.comparison.rows import Row, Rows
from quantbench.analysis.figures.scores import task_title
from quantbench.analysis.findings.statement import Statement
from quantbench.analysis.findings.tradeoffs import share_of
from quantbench.analysis.formatting import signed, significant
from quantbench.units import listed

SENTENCES = 5  # methods with a sentence of their own; a reader finds the others in the tables


def answer(
    results: Rows,
    paired: Sequence[PairedScore],
    distances: Sequence[MethodDistance],
    recommendations: Sequence[Statement],
    harness: Sequence[HarnessScore] = (),
) -> tuple[Statement, ...]:
    """A statement for each method beside the baseline, recommended ones first where they are many."""
    baseline = results.baseline
    if baseline is None or not baseline.measured:
        return ()
    others = [row for row in results.rows if not row.is_baseline and row.measured]
    named = _foremost(others, recommendations)
    scores = {(pair.label, pair.task): pair for pair in paired}
    far = {entry.label: entry for entry in distances if not entry.is_floor}
    found = [
        Statement(
            title=row.label,
            text=f"{_gain(row, baseline, results)}; "
            f"{_cost(row, results, scores, far.get(row.label), harness)}.",
            choice=row.label,
        )
        for row in named
    ]
    left = [row.label for row in others if row not in named]
    if left:
        found.append(
            Statement(
                title="Also measured",
                text=f"{listed(left)}: {'its' if len(left) == 1 else 'their'} figures are below.",
            )
        )
    return tuple(found)


def _foremost(rows: Sequence[Row], recommendations: Sequence[Statement]) -> list[Row]:
    """All rows where they are few; otherwise the recommended ones and the first of the others."""
    chosen = {statement.choice for statement in recommendations}
    kept = sorted(rows, key=lambda row: row.label not in chosen)[:SENTENCES]
    return [row for row in rows if row in kept]


def _gain(row: Row, baseline: Row, results: Rows) -> str:
    """Size, memory and speed against the baseline's."""
    parts = [part for metric in (SIZE, MEMORY, SPEED) if (part := share_of(metric, row, baseline, results))]
    text = f"{listed(parts)} of {baseline.label}" if parts else f"no figure to set against {baseline.label}'s"
    if SPEED.value(row) is not None and SPEED.value(baseline) is not None:
        return text
    disturbed = [r.label for r in (row, baseline) if r.disturbed_speed]
    if disturbed:
        return f"{text}; speed not known, as that of {listed(disturbed)} was disturbed"
    return f"{text}; speed not measured for both"


def _cost(
    row: Row,
    results: Rows,
    scores: Mapping[tuple[str, str], PairedScore],
    distance: MethodDistance | None,
    harness: Sequence[HarnessScore],
) -> str:
    """What is known of the loss on every task; the perplexity where no task can tell."""
    told = [part for task in results.tasks for part in _score(row, task, results, scores)]
    if told:
        return "; ".join((*told, *_of_harness(row.label, harness)))
    if by_harness := list(_of_harness(row.label, harness)):
        return "; ".join(by_harness)
    if distance is None or distance.perplexity_ratio is None:
        return "what it costs in quality was not measured"
    change = distance.perplexity_ratio
    text = f"no task tells what it costs; perplexity {significant(change.value)} times the baseline's"
    if change.interval is None:
        return text
    return f"{text} ({significant(change.interval.low)} to {significant(change.interval.high)})"


def _of_harness(label: str, scores: Sequence[HarnessScore]) -> Iterator[str]:
    """The first metric of each of lm-eval's tasks, and whether its change is shown."""
    firsts: dict[str, HarnessScore] = {}
    for score in scores:
        if score.label == label:
            firsts.setdefault(score.result.task, score)
    for task, score in firsts.items():
        name, pair = f"{task} {score.metric.name}", score.pair
        if pair is None or score.verdict is HarnessVerdict.UNPAIRED:
            yield f"{name} cannot be compared item by item"
            continue
        change = f"{pair.change:.4f} times" if score.is_ratio else f"{pair.change:+.4f}"
        if score.verdict is HarnessVerdict.UNDECIDED:
            yield f"no change of {name} shown ({change})"
        else:
            yield f"{name} is {score.verdict}, proven ({change})"


def _score(
    row: Row, task: str, results: Rows, scores: Mapping[tuple[str, str], PairedScore]
) -> Iterator[str]:
    """The sentence part of one task; nothing where it was not run for both."""
    own, reference = row.score(task), results.baseline.score(task) if results.baseline else None
    pair = scores.get((row.label, task))
    if own is None or reference is None:
        return
    counts = f"{own.passed} against {reference.passed} of {own.total:,}"
    if not own.passed and not reference.passed:
        yield f"{task_title(task)} tells nothing, as neither solved a problem"
        return
    if pair is None:
        yield f"{task_title(task)} pass@1 cannot be compared problem by problem ({counts})"
        return
    points = 100 * abs(pair.difference)
    span, beside_zero = "", False
    if pair.interval:
        low, high = pair.interval.low, pair.interval.high
        span = f", between {signed(100 * low)} and {signed(100 * high)} points"
        beside_zero = not low <= 0 <= high
    if pair.change is Change.UNDECIDED and beside_zero:
        yield (
            f"a change of {task_title(task)} pass@1 is not significant when corrected for all comparisons "
            f"({counts}{span})"
        )
    elif pair.change is Change.UNDECIDED:
        yield f"no change of {task_title(task)} pass@1 shown ({counts}{span})"
    else:
        verb = "gains" if pair.change is Change.BETTER else "loses"
        yield f"{verb} {points:.1f} points of {task_title(task)} pass@1, proven ({counts}{span})"
