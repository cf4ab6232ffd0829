"""`quantbench run`: measure a model under each method, write the report and print its tables."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from quantbench.output import Output
from quantbench.settings import RunSettings, devices_of
from quantbench.units import listed, show_bytes

if TYPE_CHECKING:
    from quantbench.plan import Plan
    from quantbench.records import Failure
    from quantbench.sources import ModelSource


def run(settings: RunSettings, out: Output, err: Console) -> int:
    """Measure a model under each method and write the report.

    Example: quantbench run Qwen/Qwen2.5-0.5B --methods fp16,int8,int4 --device cuda:0
    """
    from quantbench import api
    from quantbench.commands.report import give_overview, give_report
    from quantbench.environment import command_line
    from quantbench.executors.interruption import TrialInterrupted

    if settings.dry_run:
        return give_plan(settings, out, err)
    try:
        results = api.measure(settings, command=command_line(), console=err)
    except TrialInterrupted as interruption:
        return interruption.status
    if isinstance(results, api.Sweep):
        give_overview(results, out)
        return exit_code(results.failures())
    give_report(results, out)
    return exit_code(record.failure for record in results.records if record.failure)


def give_plan(settings: RunSettings, out: Output, err: Console) -> int:
    """Print what would be measured."""
    from quantbench.planning import build_plan, place

    plan, source = build_plan(place(settings))
    for note in plan.notes:
        err.print(f"note: {note}", highlight=False, markup=False, soft_wrap=True)
    planned = describe_plan(plan, source)
    document = {"baseline": plan.baseline, "notes": list(plan.notes), "trials": planned}
    out.give(document, lambda console: show_plan(planned, console))
    return 0


def exit_code(failures: Iterable["Failure"]) -> int:
    """0: all measured; 2: a trial met a user's mistake; 1: a trial died otherwise."""
    found = list(failures)
    if not found:
        return 0
    return 2 if any(failure.user_error for failure in found) else 1


def describe_plan(plan: "Plan", source: "ModelSource") -> list[dict[str, Any]]:
    """The trials of a plan: id, what, and the weight bytes to expect, None where they are not known."""
    from quantbench.methods import METHODS, expected_bytes
    from quantbench.sources import open_source

    sources = {source.name: source}
    for trial in plan.trials:
        if trial.model not in sources:
            seed = trial.generation.seed
            sources[trial.model] = open_source(trial.model, revision=trial.revision, seed=seed)
    return [
        {
            "label": plan.name_of(trial),
            "id": trial.id,
            "engine": trial.load.engine.shown,
            "device": listed(devices_of(trial.load)),
            "tasks": list(trial.evaluation.tasks),
            "weight_bytes": expected_bytes(METHODS[trial.method], sources[trial.model], trial.load.device),
        }
        for trial in plan.trials
    ]


def show_plan(planned: list[dict[str, Any]], out: Console) -> None:
    """One line a trial."""
    table = Table("Trial", "Id", "Engine", "Device", "Tasks", "Weights expected", box=None, pad_edge=False)
    for trial in planned:
        size = trial["weight_bytes"]
        table.add_row(
            trial["label"],
            trial["id"],
            trial["engine"],
            trial["device"],
            ", ".join(trial["tasks"]) or "none",
            show_bytes(size) if size is not None else "unknown",
        )
    out.print(table)
