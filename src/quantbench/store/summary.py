"""What a run or a glance needs to know of each record: how it ended, and where it lies. No figures.

Ten thousand of them are read in a second or two, and kept; the records are read when they are shown.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from sys import intern
from typing import Any

from quantbench.parts import Part
from quantbench.plan import label_of
from quantbench.records import Record
from quantbench.schema import SCHEMA_VERSION
from quantbench.store.lines import is_whole, parse_record


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One record without its figures."""

    trial_id: str
    start: int  # byte of records.jsonl at which its line begins
    nbytes: int  # of the line
    model: str
    method: str
    role: str
    label: str
    created_at: str
    failure: tuple[str, str] | None  # stage and message
    has_distance: bool
    took_s: float | None
    parts: tuple[str, ...]  # files of its big parts, relative to the folder

    @property
    def completed(self) -> bool:
        """Whether the trial ended without a failure."""
        return self.failure is None


def summary_of(line: bytes, start: int, folder: Path) -> Summary:
    """The summary of a line that begins at byte `start`; ValueError with the reason for a damaged one."""
    if is_whole(line):
        data = json.loads(line)
        if data.get("schema_version") == SCHEMA_VERSION:
            return _of_written(data, start, len(line))
    return of_record(parse_record(line, folder), start, len(line))


def _of_written(data: dict[str, Any], start: int, nbytes: int) -> Summary:
    """Of a line that is as this version wrote it."""
    trial, failure = data["trial"], data["failure"]
    name = trial["row"] or trial["method"]
    return Summary(
        trial_id=data["trial_id"],
        start=start,
        nbytes=nbytes,
        model=intern(trial["model"]),
        method=intern(trial["method"]),
        role=intern(trial["role"]),
        label=label_of(name, trial["role"], trial["round"]),
        created_at=data["created_at"],
        failure=(failure["stage"], failure["message"]) if failure else None,
        has_distance=data["distance"] is not None,
        took_s=data["took_s"],
        parts=tuple(dict.fromkeys(_files_in(data))),
    )


def of_record(record: Record, start: int, nbytes: int) -> Summary:
    """The summary of a record that was read in full."""
    trial, failure = record.trial, record.failure
    return Summary(
        trial_id=record.trial_id,
        start=start,
        nbytes=nbytes,
        model=intern(trial.model),
        method=intern(trial.method),
        role=intern(str(trial.role)),
        label=trial.label,
        created_at=record.created_at,
        failure=(failure.stage, failure.message) if failure else None,
        has_distance=record.distance is not None,
        took_s=record.took_s,
        parts=tuple(dict.fromkeys(part.place.file for part in parts_of(record))),
    )


def parts_of(record: Record) -> Iterator[Part[Any]]:
    """The parts of a record that lie in files of their own."""
    results = (*record.tasks, *record.other_protocols)
    fields: list[Any] = [*(result.completions for result in results), record.perplexity]
    fields += [record.distance.problems] if record.distance else []
    return (field for field in fields if isinstance(field, Part))


def _files_in(data: Mapping[str, Any]) -> Iterator[str]:
    """`parts_of` in a line's own values."""
    results = (*data["tasks"], *data["other_protocols"])
    fields = [*(result["completions"] for result in results), data["perplexity"]]
    fields += [data["distance"]["problems"]] if data["distance"] else []
    return (field["file"] for field in fields if isinstance(field, dict))
