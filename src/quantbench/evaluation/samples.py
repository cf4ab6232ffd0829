"""Reads a file of samples: one JSON object a line, task_id with completion or solution.

Nothing is dropped silently: each line that cannot be scored is named in a warning, and the rest is kept.
"""

import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantbench.errors import TaskError
from quantbench.tasks.json_lines import read_lines

SHOWN = 5  # names in one warning


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleLine:
    """One line: `text` continues the prompt, or is the whole program where the field was `solution`."""

    line: int
    row: dict[str, Any]
    task_id: str
    text: str
    standalone: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleFile:
    """What could be read, a sentence for each kind of thing that could not, and remarks on the rest."""

    samples: tuple[SampleLine, ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...] = ()


def read_samples(path: Path, task_ids: Collection[str]) -> SampleFile:
    """All samples of known problems in the file's order; TaskError if there is none."""
    numbered, warnings = _read_lines(path)
    samples: list[SampleLine] = []
    unknown: list[str] = []
    for number, line in numbered:
        try:
            sample = _parse(number, line)
        except ValueError as error:
            warnings.append(f"line {number} is left out: {error}")
            continue
        if sample.task_id in task_ids:
            samples.append(sample)
        else:
            unknown.append(f"'{sample.task_id}' (line {number})")
    if not samples:
        raise TaskError(_no_sample(path, warnings, unknown))
    warnings += [*_unknown(unknown), *_missing(samples, task_ids)]
    return SampleFile(samples=tuple(samples), warnings=tuple(warnings), notes=tuple(_two_fields(samples)))


def _read_lines(path: Path) -> tuple[tuple[tuple[int, bytes], ...], list[str]]:
    """Numbered lines, and what is damaged."""
    try:
        lines = read_lines(path)
    except OSError as error:
        raise TaskError(f"cannot read the samples '{path}' ({error.strerror}); check the path") from error
    return lines.numbered, [
        f"'{path.name}' is damaged ({damage}); the rest is scored" for damage in lines.damage
    ]


def _parse(number: int, line: bytes) -> SampleLine:
    """ValueError says what is wrong with the line."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON ({error})") from None
    if not isinstance(row, dict) or not isinstance(row.get("task_id"), str):
        raise ValueError("no text field 'task_id'")
    for field, standalone in (("solution", True), ("completion", False)):
        if isinstance(row.get(field), str):
            return SampleLine(
                line=number, row=row, task_id=row["task_id"], text=row[field], standalone=standalone
            )
    raise ValueError("no text field 'completion' or 'solution'")


def _two_fields(samples: Iterable[SampleLine]) -> Iterator[str]:
    """EvalPlus takes `solution`, the official evaluator of HumanEval knows `completion` alone."""
    count = sum(isinstance(s.row.get("completion"), str) for s in samples if s.standalone)
    if count:
        yield f"{count} lines hold both 'solution' and 'completion': 'solution', the whole program, is scored"


def _no_sample(path: Path, warnings: list[str], unknown: list[str]) -> str:
    if unknown and not warnings:
        return f"'{path}' names only unknown problems, as {unknown[0]}; choose --task or --task-data"
    first = f" ({warnings[0]})" if warnings else ""
    return f"'{path}' holds no sample{first}; each line must be JSON with 'task_id' and 'completion'"


def _unknown(names: list[str]) -> Iterator[str]:
    if names:
        yield f"samples of unknown problems are left out: {some(names)}"


def _missing(samples: list[SampleLine], task_ids: Collection[str]) -> Iterator[str]:
    there = {sample.task_id for sample in samples}
    missing = [task_id for task_id in task_ids if task_id not in there]
    if missing:
        yield (
            f"{len(missing)} of {len(task_ids)} problems have no sample and are left out of the figures: "
            f"{some(missing)}"
        )


def some(names: list[str]) -> str:
    """The first names of a list and how many more there are."""
    rest = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + rest
