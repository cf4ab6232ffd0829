"""The actor that runs one trial on a node of a Ray cluster; it imports no Ray, Ray runs it.

It outlives the run that started it: the record waits in it until that run, or the next one, has taken it. The
trial works in a folder of its own, whose files (answers, predictions, log) are handed over with the record.
"""

import os
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Files = dict[str, bytes]
Work = Callable[[Mapping[str, Any], Path], bytes]  # a job in its folder -> the record as JSON
KEPT_S = 6 * 3600.0  # a result that nobody takes is given up after this
LOCKS_FOLDER = "quantbench-locks"  # of a node, shared by its trials
HANDED = ("samples", "logs", "distance")  # folders whose files are handed over


class TrialHost:
    """One trial on one node; its methods are called one after another."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._result: tuple[bytes, Files] | None = None

    def place(self, node_id: str) -> str:
        """Hand back the node's id, once this runs there; `node_id` is empty where Ray is to be asked."""
        if node_id:
            return node_id
        import ray

        return str(ray.get_runtime_context().get_node_id())

    def run(self, job: Mapping[str, Any], predictions: bytes | None) -> None:
        """Run the trial to its end and keep what it gave."""
        os.environ.setdefault("QUANTBENCH_LOCKS", str(Path(tempfile.gettempdir(), LOCKS_FOLDER)))
        with tempfile.TemporaryDirectory(prefix="quantbench-ray-") as folder:
            root = Path(folder)
            before = prepare(root, job, predictions)
            record = self._work(job, root)
            self._result = record, files_of(root, before)
        threading.Thread(target=end_later, daemon=True).start()

    def result(self) -> tuple[bytes, Files] | None:
        """Record and files by name; None where no trial was begun here, as its run died before."""
        return self._result


def prepare(root: Path, job: Mapping[str, Any], predictions: bytes | None) -> set[Path]:
    """Put what the trial reads into its folder: the baseline's predictions, and names that are taken.

    Returns the files that are there now.
    """
    for name in (*HANDED, ".partial"):
        (root / name).mkdir()
    for name in job["taken"]:
        (root / "samples" / name).touch()
    if predictions is not None:
        (root / "distance" / f"{job['trial']['reference']}.npz").write_bytes(predictions)
    return {path for path in root.rglob("*") if path.is_file()}


def files_of(root: Path, before: set[Path]) -> Files:
    """The files that a trial has made, by their names in the results folder."""
    made = (path for name in HANDED for path in (root / name).rglob("*"))
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in made
        if path.is_file() and path not in before
    }


def measure(job: Mapping[str, Any], root: Path) -> bytes:
    """Run the trial in a process of its own, as on one machine; the record as JSON."""
    from quantbench.executors.local import LocalExecutor
    from quantbench.executors.processes import ForkServer
    from quantbench.plan import trial_from_dict

    trial = trial_from_dict(job["trial"])
    with ForkServer() as server:
        execute = LocalExecutor(
            root,
            server=server,
            command=job["command"],
            progress=lambda stage, done, total: None,
            names={trial.id: job["name"]},
            where=job["where"],
        )
        return execute(trial).model_dump_json().encode()


def end_later() -> None:
    """Give the node's GPU back when nobody takes the result."""
    time.sleep(KEPT_S)
    os._exit(0)
