"""Which records of a results folder belong together: those of its last plan.

A run writes plan.json beside its records; whoever opens the folder reads it.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

from quantbench.errors import StoreError
from quantbench.plan import Plan
from quantbench.records import Record
from quantbench.store import DamagedLine, Store, write_atomically

PLAN_FILE = "plan.json"


class Selection(NamedTuple):
    """The records that belong together, their baseline, and labels of planned trials without a record."""

    records: list[Record]
    baseline: str
    missing: tuple[str, ...] = ()


def load_selection(folder: Path) -> tuple[Selection, list[DamagedLine]]:
    """The records of a folder's last run and the damaged lines; StoreError for a folder without any."""
    stored, damaged = Store(folder).read()
    if not stored and damaged:
        raise StoreError(
            f"no record in '{folder}' can be read, the first because of: {damaged[0].reason}; "
            "use the quantbench that wrote it, or run `quantbench run` again"
        )
    return select_records(stored, folder), damaged


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


def default_folder(model: str) -> Path:
    """results/NAME, where NAME is the model without what a file system dislikes."""
    name = model.rstrip("/").replace("\\", "/").removeprefix("./")
    return Path("results") / "".join(c if c.isalnum() or c in "-._" else "-" for c in name).strip("-.")
