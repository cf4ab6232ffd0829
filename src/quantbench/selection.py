"""Which records of a results folder belong together: those of its last plan.

A run writes plan.json beside its records; whoever opens the folder reads it.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from quantbench.errors import StoreError
from quantbench.plan import Plan, Trial
from quantbench.records import Record
from quantbench.store import DamagedLine, Store, Summary, has_records, write_atomically

PLAN_FILE = "plan.json"
MODELS = "models"  # folder of a sweep's models
HERE, ABOVE = ".", "../.."  # where a plan's records are
MOST_NAMED = 3


class Selection(NamedTuple):
    """The records that belong together, their baseline, and labels of planned trials without a record."""

    records: list[Record]
    baseline: str
    missing: tuple[str, ...] = ()


def load_selection(folder: Path) -> tuple[Selection, list[DamagedLine]]:
    """The records of a folder's last run and the damaged lines; StoreError for a folder without any.

    Their big parts stay on disk until they are looked at, or read by `store.whole`.
    """
    path = folder / PLAN_FILE
    plan = read_plan(path) if path.exists() else None
    if plan and plan["groups"]:
        models = ", ".join(str(model_folder(folder, group["name"])) for group in plan["groups"][:MOST_NAMED])
        raise StoreError(f"'{folder}' is a sweep of {len(plan['groups'])} models; name one of {models}")
    store = Store(folder / plan["records"] if plan else folder)
    stored, damaged = store.summaries()
    if not stored:
        raise StoreError(_nothing_readable(folder, damaged))
    if plan is None:  # it was lost: all records belong together
        records = _read(store, list(stored.values()), damaged)
        if not records:
            raise StoreError(_nothing_readable(folder, damaged))
        return Selection(records, _likely_baseline(records)), damaged
    records = _read(store, [stored[trial] for trial in plan["trials"] if trial in stored], damaged)
    if not records:
        raise StoreError(f"no record of the last plan in '{folder}' can be read; run `quantbench run` again")
    there = {record.trial_id for record in records}
    missing = tuple(label for trial, label in plan["labels"].items() if trial not in there)
    return Selection(records, plan["baseline"], missing), damaged


def _read(store: Store, summaries: Sequence[Summary], damaged: list[DamagedLine]) -> list[Record]:
    """The records of these summaries; one that cannot be read in full joins the damaged lines."""
    records = []
    for summary in summaries:
        try:
            records.append(store.record(summary))
        except ValueError as error:
            damaged.append(DamagedLine(store.line_number(summary), str(error)))
    return records


def _likely_baseline(records: Sequence[Record]) -> str:
    return "fp16" if any(record.method == "fp16" for record in records) else records[0].method


def _nothing_readable(folder: Path, damaged: Sequence[DamagedLine]) -> str:
    if not damaged:
        return f"no readable record in '{folder}'; run `quantbench run` again"
    return (
        f"no record in '{folder}' can be read, the first because of: {damaged[0].reason}; "
        "use the quantbench that wrote it, or run `quantbench run` again"
    )


def read_plan(path: Path) -> dict[str, Any]:
    """What `write_plan` wrote; StoreError when it is damaged."""
    try:
        plan = json.loads(path.read_bytes())
        trials = [str(trial) for trial in plan["trials"]]
        named = dict(plan.get("labels", {}))  # plans of older versions have none
        groups = [{"name": str(group["name"])} for group in plan.get("groups", ())]
        if plan.get("records", HERE) not in (HERE, ABOVE) or not all(safe(g["name"]) for g in groups):
            raise ValueError("it names a place outside its folder")
        return {
            "baseline": str(plan["baseline"]),
            "trials": trials,
            "labels": {trial: str(named.get(trial, f"trial {trial}")) for trial in trials},
            "kinds": {trial: str(kind) for trial, kind in dict(plan.get("kinds", {})).items()},
            "groups": groups,
            "records": str(plan.get("records", HERE)),
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise StoreError(f"'{path}' is damaged; remove it to report all records of the folder") from error


def safe(name: str) -> bool:
    """Whether a name is that of a folder here."""
    return bool(name) and name not in (".", "..") and not set(name) & {"/", "\\", "\0"}


def model_folder(folder: Path, name: str) -> Path:
    """Where the report of one model of a sweep stands."""
    return folder / MODELS / name


def store_folder(folder: Path) -> Path:
    """Where the records and answers of a folder are: itself, or of a sweep's model the sweep's."""
    path = folder / PLAN_FILE
    return folder / read_plan(path)["records"] if path.exists() else folder


def is_results(folder: Path) -> bool:
    """Whether a path is a results folder, or that of a sweep's model."""
    try:
        return has_records(folder) or (has_records(folder / ABOVE) and (folder / PLAN_FILE).is_file())
    except (OSError, ValueError):
        return False


def write_plan(plan: Plan, folder: Path) -> None:
    """Which trials belong together, for rendering the folder again, and of which kind each is.

    A sweep's models have a folder each, whose plan names its trials among the records of the sweep.
    """
    content = _written(plan, plan.trials, plan.baseline)
    content["groups"] = [{"name": group.name} for group in plan.groups]
    write_atomically(folder / PLAN_FILE, json.dumps(content, indent=1).encode())
    for group in plan.groups:
        own = model_folder(folder, group.name)
        own.mkdir(parents=True, exist_ok=True)
        named = _written(plan, group.trials, group.baseline) | {"records": ABOVE}
        write_atomically(own / PLAN_FILE, json.dumps(named, indent=1).encode())


def _written(plan: Plan, trials: Sequence[Trial], baseline: str) -> dict[str, Any]:
    return {
        "baseline": baseline,
        "trials": [trial.id for trial in trials],
        "labels": {trial.id: plan.name_of(trial) for trial in trials},
        "kinds": {trial.id: kind_of(trial.model, trial.method, trial.role) for trial in trials},
    }


def kind_of(model: str, method: str, role: str) -> str:
    """What trials that take about as long have in common."""
    return f"{model} {method} {role}"


def default_folder(model: str) -> Path:
    """results/NAME, where NAME is the model without what a file system dislikes."""
    name = model.rstrip("/").replace("\\", "/").removeprefix("./")
    return Path("results") / "".join(c if c.isalnum() or c in "-._" else "-" for c in name).strip("-.")
