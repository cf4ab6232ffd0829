"""Problems whose outcome a method changed: the prompt, both answers as a diff, and what failed.

Reads the samples of a results folder; decides nothing. Only greedy runs with one completion a problem
have answers that can be set side by side.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path

from quantbench.analysis import Rows, ending_of, floor_label, scale_label
from quantbench.records import Completion, Outcome, Record, TaskResult


@dataclass(frozen=True, slots=True)
class DiffLine:
    """`mark`: ' ' a line of both, '-' one of the baseline alone, '+' one of the method alone."""

    mark: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Flip:
    """One problem that exactly one of the two solved."""

    label: str  # the method, or the rerun of the baseline
    task: str
    task_id: str
    gained: bool  # the method solves it, the baseline does not
    prompt: str
    diff: tuple[DiffLine, ...]
    outcome: str  # of the one that did not pass: 'wrong answer', 'syntax error'
    detail: str
    cut: bool  # the one that did not pass met the length limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Flips:
    """All flips, and in `missing` why some cannot be shown."""

    entries: tuple[Flip, ...]
    missing: tuple[str, ...] = ()


class Unreadable(Exception):
    """A samples file that cannot be used; the message is a sentence."""


def read_flips(results: Rows, folder: Path) -> Flips:
    """The flips of every method and every rerun of the baseline, task by task."""
    baseline = results.baseline
    if baseline is None:
        return Flips(entries=())
    entries: list[Flip] = []
    missing: list[str] = []
    others = [(row.label, row.record) for row in results.rows if not row.is_baseline]
    others += [(floor_label(record), record) for record in results.floors]
    others += [(scale_label(record), record) for record in results.context]
    for label, record in others:
        for own in record.tasks:
            reference = _task(baseline.record, own.task)
            if reference is None:
                continue
            try:
                entries += _flips_of(label, own, reference, folder)
            except Unreadable as error:
                missing.append(f"{label}, {own.task}: {error}")
    return Flips(entries=tuple(entries), missing=tuple(missing))


def _task(record: Record, name: str) -> TaskResult | None:
    return next((result for result in record.tasks if result.task == name), None)


def _flips_of(label: str, own: TaskResult, reference: TaskResult, folder: Path) -> Iterator[Flip]:
    changed = list(_changed(own, reference))
    if not changed:
        return
    own_texts, texts = _completions(folder, own), _completions(folder, reference)
    prompts = _prompts(folder, own)
    for one, other in changed:
        loser = other if one.outcome is Outcome.PASSED else one
        task_id = one.task_id
        if task_id not in own_texts or task_id not in texts:
            raise Unreadable(f"the answer to {task_id} is not in the samples file")
        yield Flip(
            label=label,
            task=own.task,
            task_id=task_id,
            gained=one.outcome is Outcome.PASSED,
            prompt=prompts.get(task_id, ""),
            diff=diff_lines(texts[task_id], own_texts[task_id]),
            outcome=ending_of(loser),
            detail=loser.detail,
            cut=loser.finish_reason == "length",
        )


def _changed(own: TaskResult, reference: TaskResult) -> Iterator[tuple[Completion, Completion]]:
    """Pairs of completions of the same problem of which exactly one passed."""
    before = {completion.task_id: completion for completion in reference.completions}
    if len(before) != len(reference.completions) or len(own.completions) > len(before):
        raise Unreadable("answers are set side by side only with one completion a problem")
    for completion in own.completions:
        other = before.get(completion.task_id)
        if other and (completion.outcome is Outcome.PASSED) != (other.outcome is Outcome.PASSED):
            yield completion, other


def _completions(folder: Path, result: TaskResult) -> Mapping[str, str]:
    if result.samples_file is None:
        raise Unreadable("its answers were not kept")
    rows = _rows(folder / result.samples_file)
    return {str(row.get("task_id")): str(row.get("answer", row.get("completion", ""))) for row in rows}


def _prompts(folder: Path, result: TaskResult) -> Mapping[str, str]:
    """Prompts by problem; empty where the problems' file is lost."""
    for name in (f"problems-{result.task}.jsonl", "problems.jsonl"):
        path = folder / "samples" / name
        if path.exists():
            return {str(row.get("task_id")): str(row.get("prompt", "")) for row in _rows(path)}
    return {}


def _rows(path: Path) -> list[dict[str, object]]:
    try:
        rows = [json.loads(line) for line in path.read_bytes().split(b"\n") if line.strip()]
    except (OSError, ValueError) as error:
        raise Unreadable(f"'{path.name}' cannot be read ({type(error).__name__})") from error
    return [row for row in rows if isinstance(row, dict)]


def diff_lines(baseline: str, method: str) -> tuple[DiffLine, ...]:
    """Both texts as one, line by line."""
    old, new = baseline.splitlines(), method.splitlines()
    lines: list[DiffLine] = []
    for tag, i, j, k, m in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag == "equal":
            lines += [DiffLine(" ", text) for text in old[i:j]]
        else:
            lines += [DiffLine("-", text) for text in old[i:j]]
            lines += [DiffLine("+", text) for text in new[k:m]]
    return tuple(lines)
