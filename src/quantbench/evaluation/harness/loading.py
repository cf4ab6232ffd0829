"""Tasks of lm-eval by name: found, loaded with their data, told apart by their content.

A folder of task files (lm-eval's --include_path) is looked through alone where it holds the task: reading the
index of lm-eval's own thousands of tasks takes seconds.
"""

import contextlib
import hashlib
import json
import os
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantbench.errors import TaskError, UsageError, unknown
from quantbench.evaluation.harness.names import HarnessName

EXTRA = "quantbench[lm-eval]"
FEWSHOT_SEED = 1234  # lm-eval's own, as all of its seeds are here
SHOWN = 200  # characters of an error


@dataclass(frozen=True, slots=True, kw_only=True)
class HarnessTask:
    """A loaded task, group or tag; `loaded` is what lm-eval evaluates."""

    name: HarnessName
    loaded: Mapping[str, Any]
    sha256: str  # of configurations and data

    @property
    def tasks(self) -> Mapping[str, Any]:
        """lm-eval's tasks by name: one, or those of a group."""
        return self.loaded["tasks"]  # type: ignore[no-any-return]


def load_harness_task(name: HarnessName, folder: str | None, limit: int | None = None) -> HarnessTask:
    """The task with its data; TaskError for one that is not there, or whose data cannot be had.

    UsageError without lm-eval, and for a task that runs programs or shows pictures.
    """
    manager = manager_of(name, folder)
    with seeded():
        try:
            loaded = manager.load([name.task])
        except Exception as error:  # whatever a data set's server, file or code raises
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:SHOWN]
            raise TaskError(
                f"lm-eval cannot load '{name.task}' ({reason}); its data come from the hub: run it once with "
                "a network, or name data on this machine in its task file"
            ) from error
    for task in loaded["tasks"].values():
        check_task(task, name)
        set_shots(task, name)
    return HarnessTask(name=name, loaded=loaded, sha256=digest_of(loaded["tasks"], limit))


def manager_of(name: HarnessName, folder: str | None) -> Any:
    """lm-eval's index in which the name is found; TaskError where it is in none."""
    os.environ.setdefault("TQDM_DISABLE", "1")  # lm-eval's bars would be drawn over the run's own
    try:
        from lm_eval.tasks import TaskManager
    except ImportError as error:
        raise UsageError(f"'{name.label}' needs lm-eval; run `pip install '{EXTRA}'`") from error
    if folder is not None:
        if not Path(folder).is_dir():
            raise TaskError(f"no folder '{folder}'; give --task-data {name.label}=FOLDER of task files")
        own = TaskManager(include_path=folder, include_defaults=False)
        if name.task in own.all_tasks:
            return own
    manager = TaskManager(include_path=folder)
    if name.task not in manager.all_tasks:
        raise TaskError(unknown("task of lm-eval", name.task, closest(name.task, manager.all_tasks)))
    return manager


def closest(task: str, known: list[str]) -> list[str]:
    """The names that are most like it: lm-eval has thousands."""
    import difflib

    return difflib.get_close_matches(task, known, n=5, cutoff=0.5) or known[:5]


def check_task(task: Any, name: HarnessName) -> None:
    """UsageError for what is not done here."""
    if getattr(task, "UNSAFE_CODE", False):
        raise UsageError(
            f"lm-eval runs the programs of '{name.task}' without a sandbox; use --tasks humaneval or mbpp+"
        )
    if getattr(task, "MULTIMODAL", False):
        raise UsageError(f"'{name.task}' shows pictures, which no method here reads; leave it out")


def set_shots(task: Any, name: HarnessName) -> None:
    """As lm-eval's --num_fewshot: a task that forbids examples keeps to that."""
    own = task.get_config("num_fewshot")
    if name.shots is not None and own == 0 and name.shots:
        raise UsageError(f"'{name.task}' is asked without examples; leave '@{name.shots}' out")
    if own is None or name.shots is not None:
        task.set_config(key="num_fewshot", value=name.shots or 0)
    task.set_fewshot_seed(seed=FEWSHOT_SEED)


@contextlib.contextmanager
def seeded() -> Iterator[None]:
    """lm-eval's seeds, for tasks that draw; the process's own state is there again afterwards."""
    import numpy as np

    kept, kept_numpy = random.getstate(), np.random.get_state()
    random.seed(0)
    np.random.seed(FEWSHOT_SEED)
    try:
        yield
    finally:
        random.setstate(kept)
        np.random.set_state(kept_numpy)


def digest_of(tasks: Mapping[str, Any], limit: int | None) -> str:
    """sha256 over configurations and the documents that will be asked."""
    digest = hashlib.sha256()
    for name in sorted(tasks):
        task = tasks[name]
        config = {key: value for key, value in task.dump_config().items() if key != "metadata"}
        digest.update(json.dumps([name, task.VERSION, config], sort_keys=True, default=plain).encode())
        for number, document in enumerate(task.eval_docs):
            if limit is not None and number >= limit:
                break
            digest.update(json.dumps(document, sort_keys=True, default=plain).encode() + b"\n")
    return digest.hexdigest()


def plain(value: Any) -> str:
    """What JSON has no form for: functions by their name, all else by its kind."""
    return str(getattr(value, "__qualname__", type(value).__name__))
