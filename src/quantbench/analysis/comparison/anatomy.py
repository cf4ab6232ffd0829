"""How answers failed: one ending an answer, counted by method, and told of the problems that a method lost.

Read from what a record keeps of each answer: how its program ended, and how its text did.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from quantbench.analysis.comparison.pairing import can_be_paired, single
from quantbench.analysis.comparison.rows import Rows
from quantbench.analysis.figures.scores import Score
from quantbench.analysis.formatting import counted
from quantbench.records import Completion, Outcome
from quantbench.units import listed

SYNTAX = ("SyntaxError", "IndentationError", "TabError")
BROKEN_TEST = "the test is broken"
EXCEPTION = re.compile(r"([A-Za-z_][A-Za-z_0-9.]*)(?=:|$)")  # a detail is a name, or a name with a text


class Ending(StrEnum):
    """How an answer ended, in the order in which tables have them; shown as it is."""

    PASSED = "passed"
    WRONG = "wrong answer"
    EXCEPTION = "exception"
    SYNTAX = "syntax error"
    TIMED_OUT = "time-out"
    CUT = "cut by length"
    NO_CODE = "nothing found"
    MEMORY = "out of memory"
    CRASHED = "crash"
    FORBIDDEN = "forbidden call"
    UNASKED = "not asked"


OF_OUTCOMES = {
    Outcome.PASSED: Ending.PASSED,
    Outcome.TIMED_OUT: Ending.TIMED_OUT,
    Outcome.OUT_OF_MEMORY: Ending.MEMORY,
    Outcome.CRASHED: Ending.CRASHED,
    Outcome.FORBIDDEN: Ending.FORBIDDEN,
}


def ending_of(completion: Completion) -> Ending:
    """The one ending of an answer: what came first counts, so that a cut text is cut whatever followed."""
    if completion.outcome is Outcome.PASSED:
        return Ending.PASSED
    if completion.finish_reason == "unanswered":
        return Ending.UNASKED
    if completion.finish_reason == "length":
        return Ending.CUT
    if not completion.code_found:
        return Ending.NO_CODE
    if completion.outcome in OF_OUTCOMES:
        return OF_OUTCOMES[completion.outcome]
    kind = exception_of(completion)
    if kind in SYNTAX:
        return Ending.SYNTAX
    return Ending.WRONG if kind in (None, "AssertionError") else Ending.EXCEPTION


def exception_of(completion: Completion) -> str | None:
    """The name of the exception that a failed program or its test ended with; None where there is none."""
    if completion.outcome is not Outcome.FAILED or completion.detail.startswith(BROKEN_TEST):
        return None
    found = EXCEPTION.match(completion.detail)
    return found[1] if found else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Anatomy:
    """One method on one task."""

    label: str
    task: str
    endings: Mapping[Ending, int]  # answers
    exceptions: Mapping[str, int]  # of those that ended with one, most frequent first
    lost: Mapping[Ending, int]  # problems that the baseline alone solves
    gained: int | None  # problems that the method alone solves; None where the two cannot be paired
    sentence: str | None  # of what was lost and gained


def anatomies(results: Rows) -> tuple[Anatomy, ...]:
    """Every method with known outcomes, task by task."""
    return tuple(
        _anatomy(row.label, score, results)
        for task in results.tasks
        for row in results.rows
        if (score := row.score(task)) is not None and score.result.completions
    )


def _anatomy(label: str, score: Score, results: Rows) -> Anatomy:
    completions = score.result.completions
    found = [(completion, ending_of(completion)) for completion in completions]
    kinds = Counter(exception_of(c) or "" for c, ending in found if ending is Ending.EXCEPTION)
    baseline = results.baseline
    reference = baseline.score(score.task) if baseline and baseline.label != label else None
    lost, gained = _changed(found, score, reference) if reference else ({}, None)
    return Anatomy(
        label=label,
        task=score.task,
        endings=Counter(ending for _, ending in found),
        exceptions=dict(kinds.most_common()),
        lost=lost,
        gained=gained,
        sentence=_sentence(label, lost, gained),
    )


def _changed(
    found: Sequence[tuple[Completion, Ending]], score: Score, reference: Score
) -> tuple[Mapping[Ending, int], int | None]:
    """Lost problems by the method's ending, and how many it gained; None where they cannot be paired."""
    if not can_be_paired(score, reference) or not single(score, reference):
        return {}, None
    solved = {problem for problem, (passed, _) in (reference.solved or {}).items() if passed}
    failed = ((completion.task_id, end) for completion, end in found if end is not Ending.PASSED)
    lost: Counter[Ending] = Counter(end for problem, end in failed if problem in solved)
    gained = sum(end is Ending.PASSED and c.task_id not in solved for c, end in found)
    return lost, gained


def _sentence(label: str, lost: Mapping[Ending, int], gained: int | None) -> str | None:
    if gained is None:
        return None
    total = sum(lost.values())
    text = f"{label} loses {counted(total, 'problem')}"
    if lost:
        text += f": {listed(list(_counts(lost)))}"
    return f"{text}; it gains {gained}."


def _counts(endings: Mapping[Ending, int]) -> Iterator[str]:
    """'14 wrong answers', '2 cut by length', most frequent first."""
    plural = {Ending.WRONG, Ending.EXCEPTION, Ending.SYNTAX, Ending.TIMED_OUT, Ending.FORBIDDEN}
    for ending, count in sorted(endings.items(), key=lambda item: -item[1]):
        if ending is Ending.CRASHED:
            yield f"{count} {'crash' if count == 1 else 'crashes'}"
        else:
            yield counted(count, ending) if ending in plural else f"{count} {ending}"
