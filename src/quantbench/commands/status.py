"""`quantbench status`: how far a run is; needs neither torch nor a GPU."""

from typing import TYPE_CHECKING

from rich.console import Console

from quantbench.output import Output, plain
from quantbench.settings.commands import StatusSettings
from quantbench.units import show_seconds

if TYPE_CHECKING:
    from quantbench.status import Status

MOST_NAMED = 10


def status(settings: StatusSettings, out: Output, err: Console) -> int:
    """Say what of a run is done, runs, failed or is left, and about how long that takes.

    Exit status: 0 when all of the plan is measured, 1 otherwise.

    Example: quantbench status results/builtin
    """
    from quantbench.status import status_of

    found = status_of(settings.folder)
    out.give({"folder": settings.folder} | plain(found), lambda console: show_status(found, console))
    return 0 if len(found.done) == found.planned else 1


def show_status(found: "Status", console: Console) -> None:
    """A line for each state, and one for each trial that runs or failed."""
    counts = f"{len(found.done)} of {found.planned} trials done, {len(found.running)} running"
    lines = [f"{counts}, {len(found.failed)} failed, {len(found.left)} left"]
    for trial in found.running:
        where = f" on {trial.where}" if trial.where else ""
        lines.append(f"running: {trial.trial}{where}, for {show_seconds(trial.for_s)}")
    lines += [f"failed while in '{one.stage}': {one.trial}: {one.reason}" for one in found.failed]
    if found.left:
        more = ", ..." if len(found.left) > MOST_NAMED else ""
        lines.append(f"left: {', '.join(found.left[:MOST_NAMED])}{more}")
    lines += [time_left(found)] if found.left or found.running else []
    if not found.active and (found.left or found.failed):
        lines.append("no run holds this folder now; the command that began it goes on from here")
    lines += [f"records.jsonl line {one.number} is damaged: {one.reason}" for one in found.damaged]
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def time_left(found: "Status") -> str:
    """The estimate in words, with what it rests on."""
    estimate = found.estimate
    if estimate is None:
        return "time left: not known, no trial has been measured to its end yet"
    trials = "trial" if estimate.from_trials == 1 else "trials"
    pace = f", {estimate.side_by_side} side by side" if estimate.side_by_side > 1 else ""
    return (
        f"time left: about {show_seconds(estimate.left_s)}, an estimate from what {estimate.from_trials} "
        f"measured {trials} took{pace}"
    )
