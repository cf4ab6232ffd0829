"""Reads problems in HumanEval's format from .jsonl, .jsonl.gz or .parquet, and identifies their content.

The digest is taken over the five fields of every problem in order, so that the same problems have the
same digest whatever the container.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from quantbench.errors import TaskError
from quantbench.tasks.json_lines import read_lines
from quantbench.tasks.problem import Problem

FIELDS = ("task_id", "prompt", "canonical_solution", "test", "entry_point")
INPUTS = ("base_input", "plus_input", "atol")  # of HumanEval+


def read_problems(path: Path) -> tuple[Problem, ...]:
    """All problems of a file; TaskError names the line that is not a problem."""
    problems = tuple(_problem(row, number, path) for number, row in read_rows(path))
    if not problems:
        raise TaskError(f"'{path}' holds no problems; give a file in HumanEval's format")
    ids = [problem.task_id for problem in problems]
    if len(set(ids)) != len(ids):
        twice = next(task_id for task_id in ids if ids.count(task_id) > 1)
        raise TaskError(f"'{path}' holds the task_id '{twice}' twice; remove one of them")
    return problems


def read_rows(path: Path) -> list[tuple[int, Any]]:
    """All rows of a file with their numbers from 1 on; TaskError where it cannot be read."""
    if not path.is_file():
        raise TaskError(f"no task data at '{path}'; give the path of a .jsonl, .jsonl.gz or .parquet file")
    return _read_parquet(path) if path.suffix == ".parquet" else _read_lines(path)


def content_digest(problems: Iterable[Problem]) -> str:
    """sha256 over the canonical JSON of the problems, in their order."""
    digest = hashlib.sha256()
    for problem in problems:
        fields = {field: getattr(problem, field) for field in FIELDS}
        digest.update(json.dumps(fields, sort_keys=True).encode() + b"\n")
    return digest.hexdigest()


def _read_lines(path: Path) -> list[tuple[int, Any]]:
    try:
        lines = read_lines(path)
    except OSError as error:
        raise TaskError(f"cannot read task data '{path}' ({error.strerror}); check the path") from error
    if lines.damage:
        raise TaskError(f"cannot read task data '{path}' ({lines.damage[0]}); get a fresh copy of it")
    rows = []
    for number, line in lines.numbered:
        try:
            rows.append((number, json.loads(line)))
        except (ValueError, RecursionError) as error:
            raise TaskError(f"line {number} of '{path}' is not JSON ({error}); get a fresh copy") from error
    return rows


def _read_parquet(path: Path) -> list[tuple[int, Any]]:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise TaskError(
            "reading parquet needs pyarrow; run `pip install pyarrow`, or give a .jsonl file with --task-data"
        ) from error
    try:
        rows = pyarrow.parquet.read_table(path).to_pylist()
    except (OSError, pyarrow.ArrowException) as error:
        raise TaskError(f"cannot read task data '{path}' ({error}); get a fresh copy of it") from error
    return list(enumerate(rows, start=1))


def _problem(row: Any, number: int, path: Path) -> Problem:
    if not isinstance(row, dict):
        raise TaskError(f"problem {number} of '{path}' is no object; HumanEval's format has {_names(FIELDS)}")
    inputs = {field: row[field] for field in INPUTS if field in row}
    given = row | {"test": ""} if "plus_input" in inputs and row.get("test") is None else row
    missing = [field for field in FIELDS if not isinstance(given.get(field), str)]
    if missing:
        raise TaskError(
            f"problem {number} of '{path}' lacks the text field '{missing[0]}'; "
            f"HumanEval's format has {_names(FIELDS)}"
        )
    fields = {field: given[field] for field in FIELDS}
    return Problem(**fields, inputs=inputs if "plus_input" in inputs else None)


def _names(fields: Iterable[str]) -> str:
    return ", ".join(fields)
