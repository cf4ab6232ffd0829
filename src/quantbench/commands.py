"""What the commands do once their options are read: plan -> runner -> report, or store -> report."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from quantbench.environment import command_line
from quantbench.errors import QuantbenchError, StoreError
from quantbench.leftovers import remove_old_report, set_aside_samples
from quantbench.options import FORMATS, merge_config, read_formats, read_settings
from quantbench.output import Output
from quantbench.plan import Plan
from quantbench.planning import build_plan
from quantbench.records import Record
from quantbench.store import DamagedLine, Store, write_atomically
from quantbench.units import show_bytes

PLAN_FILE = "plan.json"


def run(given: Mapping[str, Any], *, out: Output, err: Console) -> int:
    """`quantbench run`: 0 all measured, 1 a trial failed, 2 by a user's mistake, 128 + N by signal N."""
    from quantbench.executors.interruption import TrialInterrupted

    options = merge_config(given)
    formats = read_formats(options.pop("output_format", None))
    dry_run = options.pop("dry_run", False)
    settings = read_settings(options)
    plan, source = build_plan(settings)
    for note in plan.notes:
        err.print(f"note: {note}", highlight=False, markup=False, soft_wrap=True)
    if dry_run:
        planned = describe_plan(plan, source.config)
        out.give(
            {"baseline": plan.baseline, "notes": list(plan.notes), "trials": planned},
            lambda console: show_plan(planned, console),
        )
        return 0
    store = Store(settings.output_dir or default_folder(settings.model))
    store.create()
    with store.locked():
        write_plan(plan, store.folder)
        try:
            records, damaged = execute(plan, store, err)
        except TrialInterrupted as interruption:
            return interruption.status
        warn_damaged(damaged, err)
        set_aside_samples(store.folder, records)
        written = render(Selection(records, plan.baseline), store.folder, formats, out)
        remove_old_report(store.folder, written, FORMATS)
    return exit_code(records)


def execute(plan: Plan, store: Store, err: Console) -> tuple[list[Record], list[DamagedLine]]:
    """Run the plan's missing trials in fresh processes, shown on the terminal."""
    from quantbench.executors.interruption import Interruption
    from quantbench.executors.local import LocalExecutor
    from quantbench.runner import run_plan
    from quantbench.terminal import RunDisplay

    with Interruption() as interruption, RunDisplay(err) as display:
        executor = LocalExecutor(
            store.folder, command=command_line(), progress=display.progress, interruption=interruption
        )
        return run_plan(plan, store, executor, display)


class Selection(NamedTuple):
    """The records that belong together, their baseline, and labels of planned trials without a record."""

    records: list[Record]
    baseline: str
    missing: tuple[str, ...] = ()


def render(selected: Selection, folder: Path, formats: tuple[str, ...], out: Output) -> tuple[str, ...]:
    """Write the report of these records, give its figures and where it is; the files' names."""
    from quantbench.report import describe, print_tables, write_report

    records, baseline, missing = selected
    if not any(record.size or record.speed or record.tasks for record in records):
        raise_first_failure(records)
    written = write_report(records, baseline=baseline, missing=missing, folder=folder, formats=formats)
    path = folder / written[0]

    def show(console: Console) -> None:
        print_tables(records, baseline=baseline, missing=missing, console=console)
        console.print(f"\nReport: {path}", highlight=False, soft_wrap=True)

    described = describe(records, baseline=baseline, missing=missing) if out.as_json else {}
    out.give({"folder": folder, "report": path} | described, show)
    return written


def raise_first_failure(records: list[Record]) -> None:
    """Nothing was measured: the first failure's sentence is what there is to say."""
    failures = [record.failure for record in records if record.failure]
    if not failures:
        raise StoreError("nothing was measured; run `quantbench run` first")
    failure = failures[0]
    raise QuantbenchError(
        f"no trial could be measured; the first failed while in '{failure.stage}': {failure.message}"
    )


def report(folder: Path, *, formats: str | None, out: Output, err: Console) -> int:
    """`quantbench report`: render a results folder again from its records; needs no torch."""
    wanted = read_formats(formats)
    selected = load_records(folder, err)
    written = render(selected, folder, wanted, out)
    remove_old_report(folder, written, wanted)
    return 0


def load_records(folder: Path, err: Console) -> Selection:
    """The records of a folder's last run; StoreError says what is wrong with the folder."""
    stored, damaged = Store(folder).read()
    if not stored and damaged:
        raise StoreError(
            f"no record in '{folder}' can be read, the first because of: {damaged[0].reason}; "
            "use the quantbench that wrote it, or run `quantbench run` again"
        )
    warn_damaged(damaged, err)
    selected = select_records(stored, folder)
    for label in selected.missing:
        sentence = (
            f"{label} was planned and has no readable record in '{folder}'; `quantbench run` measures it"
        )
        err.print(sentence, style="yellow", highlight=False, markup=False, soft_wrap=True)
    return selected


def select_records(stored: list[Record], folder: Path) -> Selection:
    """The records of the folder's last plan; all of them where the plan file is lost."""
    if not stored:
        raise StoreError(f"no readable record in '{folder}'; run `quantbench run` again")
    path = folder / PLAN_FILE
    if not path.exists():
        return Selection(stored, "fp16" if any(r.method == "fp16" for r in stored) else stored[0].method)
    plan = read_plan(path)
    by_id = {record.trial_id: record for record in stored}
    chosen = [by_id[trial] for trial in plan["trials"] if trial in by_id]
    if not chosen:
        raise StoreError(f"no record of the last plan in '{folder}' can be read; run `quantbench run` again")
    missing = tuple(label for trial, label in plan["labels"].items() if trial not in by_id)
    return Selection(chosen, plan["baseline"], missing)


def read_plan(path: Path) -> dict[str, Any]:
    """What `write_plan` wrote; StoreError when it is damaged."""
    try:
        plan = json.loads(path.read_bytes())
        trials = [str(trial) for trial in plan["trials"]]
        named = dict(plan.get("labels", {}))  # plans of older versions have none
        labels = {trial: str(named.get(trial, f"trial {trial}")) for trial in trials}
        return {"baseline": str(plan["baseline"]), "trials": trials, "labels": labels}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise StoreError(f"'{path}' is damaged; remove it to report all records of the folder") from error


def write_plan(plan: Plan, folder: Path) -> None:
    """Which trials belong together, for rendering the folder again."""
    content = {
        "baseline": plan.baseline,
        "trials": [trial.id for trial in plan.trials],
        "labels": {trial.id: trial.label for trial in plan.trials},
    }
    write_atomically(folder / PLAN_FILE, json.dumps(content, indent=1).encode())


def exit_code(records: list[Record]) -> int:
    """0: all measured; 2: a trial met a user's mistake; 1: a trial died otherwise."""
    failures = [record.failure for record in records if record.failure]
    if not failures:
        return 0
    return 2 if any(f.stage != "process" and f.traceback is None for f in failures) else 1


def default_folder(model: str) -> Path:
    """results/NAME, where NAME is the model without what a file system dislikes."""
    name = model.rstrip("/").replace("\\", "/").removeprefix("./")
    return Path("results") / "".join(c if c.isalnum() or c in "-._" else "-" for c in name).strip("-.")


def warn_damaged(damaged: list[DamagedLine], err: Console) -> None:
    """One line for each line of the store that was skipped."""
    for line in damaged:
        sentence = f"records.jsonl line {line.number} is damaged and was skipped: {line.reason}"
        err.print(sentence, style="yellow", highlight=False, markup=False, soft_wrap=True)


def describe_plan(plan: Plan, config: dict[str, Any]) -> list[dict[str, Any]]:
    """The trials of a plan: id, what, and the weight bytes to expect, None where nobody knows."""
    from quantbench.methods import METHODS

    return [
        {
            "label": trial.label,
            "id": trial.id,
            "engine": trial.engine,
            "device": trial.device,
            "tasks": list(trial.tasks),
            "weight_bytes": METHODS[trial.method].expected_bytes_of(config),
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


def methods(device: str | None, model: str | None, *, out: Output) -> int:
    """`quantbench methods`: what can run here, or of a model, and why the rest cannot."""
    from quantbench.methods import METHODS
    from quantbench.resolving import resolve_device
    from quantbench.sources import open_source
    from quantbench.support import support_of

    where = resolve_device(device or "auto")
    support = support_of(open_source(model), "auto") if model else None
    reasons = {
        name: method.unavailable(where) or (support.unsupported_reason(name) if support else None)
        for name, method in METHODS.items()
    }

    def show(console: Console) -> None:
        if support:
            console.print(f"{support.sentence}.\n", highlight=False, markup=False, soft_wrap=True)
        table = Table("Method", "Scheme", f"On {where}", "What it is", box=None, pad_edge=False)
        for name, reason in reasons.items():
            method = METHODS[name]
            runs = "yes" if reason is None else f"no: {reason}"
            table.add_row(name, method.scheme, runs, method.description)
        console.print(table)

    listed = [
        {
            "name": name,
            "scheme": METHODS[name].scheme,
            "description": METHODS[name].description,
            "runs": reason is None,
            "reason": reason,
        }
        for name, reason in reasons.items()
    ]
    told = {"model": model, "engine": support.engine, "summary": support.sentence} if support else {}
    out.give({"device": where, **told, "methods": listed}, show)
    return 0
