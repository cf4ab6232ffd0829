"""A results folder with samples, for tests of the page: the reference's figures, made-up answers."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from quantbench.records import Completion, Outcome, Record
from tests.analysis.distances import baseline_distance, floor_record, make_distance
from tests.report_records import reference_records, speed_point

PROBLEMS = 164
SPREAD = [0.001 * (1 + number / PROBLEMS) for number in range(PROBLEMS)]
SPEEDS = {"fp16": (40.0, 300.0), "int8": (32.0, 200.0), "int4": (28.0, 400.0)}


def write_results(folder: Path) -> list[Record]:
    """Write samples and problems; the records that belong to them, a rerun of the baseline last."""
    distances = [baseline_distance(PROBLEMS), make_distance(SPREAD), make_distance([20 * v for v in SPREAD])]
    records = []
    for record, distance in zip(reference_records(), distances, strict=True):
        one, eight = SPEEDS[record.method]
        speed = (speed_point(one), speed_point(eight, batch_size=8))
        kept = _with_samples(record, folder, record.method)
        records.append(kept.model_copy(update={"distance": distance, "speed": speed}))
    floor = floor_record(solved=range(56), kl=[1e-6] * PROBLEMS)
    prompts = ({"task_id": f"humaneval/{n}", "prompt": prompt(n)} for n in range(PROBLEMS))
    _write_lines(folder / "samples" / "problems.jsonl", prompts)
    return [*records, _with_samples(floor, folder, "fp16-floor")]


def prompt(number: int) -> str:
    return f'def add_{number}(a, b):\n    """ a + b & <b>{number}</b> """\n'


def answer(number: int, label: str) -> str:
    first = "" if label.startswith("fp16") else f"    # {label}\n"
    return f"{first}    return a + b + {number}\n"


def _with_samples(record: Record, folder: Path, label: str) -> Record:
    (task,) = record.tasks
    name = f"samples/{label}.jsonl"
    rows = ({"task_id": f"humaneval/{n}", "completion": answer(n, label)} for n in range(PROBLEMS))
    _write_lines(folder / name, rows)
    completions = tuple(_explained(completion) for completion in task.completions)
    task = task.model_copy(update={"samples_file": name, "completions": completions})
    return record.model_copy(update={"tasks": (task,)})


def _explained(completion: Completion) -> Completion:
    if completion.outcome is Outcome.PASSED:
        return completion
    return completion.model_copy(update={"detail": f"AssertionError in {completion.task_id}"})


def _write_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
