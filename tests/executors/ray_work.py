"""What a Ray worker does in tests in place of a measured trial: fast, and it may die on command.

Switches are files beside the results, in a folder that the trial's `command` names.
"""

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quantbench.plan import trial_from_dict
from tests.builders import make_record


def stand_in(job: Mapping[str, Any], root: Path) -> bytes:
    """A record that says where it ran and what it found; it notes each start, waits, and dies if told to."""
    switches, trial = Path(job["command"]), trial_from_dict(job["trial"])
    with (switches / "started").open("a") as log:
        log.write(f"{trial.method} {node()} {os.getpid()}\n")
    if (switches / f"die-{trial.method}").exists():
        os._exit(1)
    while (switches / f"wait-{trial.method}").exists() or (switches / f"wait-on-{node()}").exists():
        time.sleep(0.02)
    if trial.reference is None:
        (root / "distance" / f"{trial.id}.npz").write_bytes(b"predictions of " + trial.id.encode())
        found = ""
    else:
        path = root / "distance" / f"{trial.reference}.npz"
        found = path.read_bytes().decode() if path.exists() else "none"
    (root / "samples" / f"{job['name']}.jsonl").write_text(json.dumps({"of": trial.method}) + "\n")
    return make_record(trial).model_copy(update={"warnings": (found,)}).model_dump_json().encode()


def node() -> str:
    import ray

    return str(ray.get_runtime_context().get_node_id())
