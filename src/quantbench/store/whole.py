"""A record with all its parts in memory; what is missing or damaged is told, and is missing from then on."""

from collections.abc import Sequence
from typing import Any, TypeVar

from quantbench.parts import Part, PartDamaged
from quantbench.records import Distance, Record, TaskResult

Entry = TypeVar("Entry")


def whole(record: Record) -> Record:
    """The record with tuples in place of its parts.

    A part that cannot be read becomes an empty one (a distance becomes None), with a sentence in `warnings`.
    """
    lost: dict[str, None] = {}
    found: dict[str, Any] = {
        "tasks": tuple(_whole_task(result, lost) for result in record.tasks),
        "other_protocols": tuple(_whole_task(result, lost) for result in record.other_protocols),
        "distance": _whole_distance(record.distance, lost),
        "perplexity": _entries(record.perplexity, "the perplexity", lost),
    }
    if lost:
        found["warnings"] = tuple(dict.fromkeys((*record.warnings, *lost)))
    return record.model_copy(update=found)


def _whole_task(result: TaskResult, lost: dict[str, None]) -> TaskResult:
    entries = _entries(result.completions, f"the outcomes of {result.task}", lost)
    return result.model_copy(update={"completions": entries})


def _whole_distance(distance: Distance | None, lost: dict[str, None]) -> Distance | None:
    if distance is None:
        return None
    problems = _entries(distance.problems, "the distance from the baseline", lost)
    return distance.model_copy(update={"problems": problems}) if problems else None


def _entries(field: Sequence[Entry], what: str, lost: dict[str, None]) -> tuple[Entry, ...]:
    try:
        return field.entries if isinstance(field, Part) else tuple(field)
    except PartDamaged as error:
        lost[f"{what} cannot be shown: {error}"] = None
        return ()
