"""The noise floor: what changes when the baseline is run again without any change of method.

Only reruns of the baseline count. Another number format (bf16 beside fp16) is a change of method: it is
shown for scale, with figures and no verdict.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from quantbench.analysis.comparison.distance import AgainstFloor, MethodDistance, floor_label, scale_label
from quantbench.analysis.comparison.paired import Change, PairedScore, pair_scores
from quantbench.analysis.comparison.pairing import can_be_paired
from quantbench.analysis.comparison.rows import Rows
from quantbench.analysis.figures.scores import read_score
from quantbench.records import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class FloorFlips:
    """Outcomes that one rerun of the baseline changed on one task."""

    label: str
    task: str
    problems: int
    gained: int
    lost: int

    @property
    def flips(self) -> int:
        return self.gained + self.lost


def floor_flips(results: Rows) -> tuple[FloorFlips, ...]:
    """One entry a rerun and task; empty where the baseline was run once."""
    pairs = [pair for record in results.floors for pair in _pairs(record, floor_label(record), results)]
    return tuple(
        FloorFlips(
            label=pair.label, task=pair.task, problems=pair.problems, gained=pair.gained, lost=pair.lost
        )
        for pair in pairs
    )


def scale_pairs(results: Rows) -> tuple[PairedScore, ...]:
    """What another number format changes, task by task; each comparison by itself, outside any correction."""
    return tuple(pair for record in results.context for pair in _pairs(record, scale_label(record), results))


def _pairs(record: Record, label: str, results: Rows) -> Iterable[PairedScore]:
    for result in record.tasks:
        own = read_score(result)
        reference = results.baseline.score(result.task) if results.baseline else None
        if own is not None and reference is not None and can_be_paired(own, reference):
            yield pair_scores(label, own, reference)


def judged_by_floor(
    pairs: Sequence[PairedScore], flips: Sequence[FloorFlips], distances: Sequence[MethodDistance]
) -> tuple[PairedScore, ...]:
    """The pairs, marked where a method changed no more than a rerun: neither way, nor in its predictions."""
    against = {entry.label: entry.against_floor for entry in distances}
    return tuple(
        replace(pair, like_rerun=_like_rerun(pair, flips, against.get(pair.label))) for pair in pairs
    )


def _like_rerun(pair: PairedScore, flips: Sequence[FloorFlips], distance: AgainstFloor | None) -> bool:
    if pair.change is not Change.UNDECIDED or distance not in (None, AgainstFloor.WITHIN):
        return False
    return any(
        rerun.task == pair.task and pair.gained <= rerun.gained and pair.lost <= rerun.lost for rerun in flips
    )
