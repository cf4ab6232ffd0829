"""The noise floor: what changes when the baseline is run again without any change of method.

A method that changes no more than this is indistinguishable from the baseline, whatever its figures.
"""

from dataclasses import dataclass

from quantbench.analysis.distance import floor_label
from quantbench.analysis.paired import pair_scores
from quantbench.analysis.pairing import can_be_paired
from quantbench.analysis.rows import Results
from quantbench.analysis.scores import read_score


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


def floor_flips(results: Results) -> tuple[FloorFlips, ...]:
    """One entry a rerun and task; empty where the baseline was run once."""
    baseline = results.baseline
    if baseline is None:
        return ()
    found = []
    for record in results.floors:
        for result in record.tasks:
            own, reference = read_score(result), baseline.score(result.task)
            if own is None or reference is None or not can_be_paired(own, reference):
                continue
            pair = pair_scores(floor_label(record, results.baseline_name), own, reference)
            found.append(
                FloorFlips(
                    label=pair.label,
                    task=pair.task,
                    problems=pair.problems,
                    gained=pair.gained,
                    lost=pair.lost,
                )
            )
    return tuple(found)


def most_flips(flips: tuple[FloorFlips, ...], task: str) -> int | None:
    """The most outcomes that any rerun of the baseline changed on a task; None without a rerun."""
    counts = [entry.flips for entry in flips if entry.task == task]
    return max(counts) if counts else None
