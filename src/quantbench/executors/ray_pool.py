"""Trials on a Ray cluster: each is an actor of its own, which outlives the run and is found again by name.

The runner starts a trial once its baseline has ended; the baseline's predictions go with it through Ray's
object store. Records come back as they are ready and are stored by the run alone, be it on a node or a client
elsewhere. A trial whose node is lost starts again on another; one whose worker has died MOST_DEATHS times is
recorded with that as its reason.
"""

import contextlib
import hashlib
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from quantbench.evaluation.distance import has_predictions, reference_path
from quantbench.executors.job import Job
from quantbench.executors.ray_connection import connected
from quantbench.executors.ray_host import TrialHost, Work, measure
from quantbench.plan import Trial
from quantbench.records import Failure, Record
from quantbench.settings import ExecutionSettings
from quantbench.store import make_folder, parse_record, write_atomically
from quantbench.trial import new_record

MOST_DEATHS = 3  # of a trial's worker
MOST_STARTS = 10  # of a trial, lost nodes included
LOOK_S = 1.0  # between two looks whether the run was asked to end


@dataclass(slots=True, kw_only=True)
class Attempt:
    """A trial on the cluster: its actor, where that runs, and how often it was tried."""

    trial: Trial
    number: int
    deaths: int
    actor: Any
    node: Any  # a reference to the node's id
    began: float = field(default_factory=time.monotonic)


@contextmanager
def open_ray(asked: ExecutionSettings, job: Job, work: Work = measure) -> "Iterator[RayPool]":
    """A pool on the cluster at the address; UsageError where Ray or the cluster is missing."""
    namespace = f"quantbench-{hashlib.sha256(str(job.folder.resolve()).encode()).hexdigest()[:16]}"
    with connected(asked.ray_address, namespace):
        yield RayPool(asked, job, namespace, work)


class RayPool:
    """The runner's Pool over a Ray cluster."""

    def __init__(self, asked: ExecutionSettings, job: Job, namespace: str, work: Work) -> None:
        import ray
        from ray.util import list_named_actors

        self._ray, self._job, self._namespace, self._work = ray, job, namespace, work
        self._gpus = asked.gpus_per_trial or 0
        self._cpus = asked.cpus_per_trial or self._share()
        self._running: dict[Any, Attempt] = {}  # by the reference to their result
        self._predictions: dict[str, Any] = {}  # by the baseline's id, a reference to their bytes
        named = list_named_actors(all_namespaces=True)
        self._left = {one["name"] for one in named if one["namespace"] == namespace}

    def _share(self) -> int:
        """A node's cores, divided among the trials that its GPUs allow; the least of all nodes."""
        shares = []
        for node in self._ray.nodes():
            own = node["Resources"] if node["Alive"] else {}
            cpus, gpus = int(own.get("CPU", 0)), int(own.get("GPU", 0))
            if cpus and (gpus or not self._gpus):
                shares.append(max(1, cpus // max(1, gpus // max(1, self._gpus))) if self._gpus else cpus)
        return min(shares, default=1)

    def full(self) -> bool:
        """Whether the cluster as it is now has no room for another trial."""
        own = self._ray.cluster_resources()
        room = int(own.get("CPU", 0)) // self._cpus
        if self._gpus:
            room = min(room, int(own.get("GPU", 0)) // self._gpus)
        return len(self._running) >= max(1, room)

    def free(self, trial: Trial) -> bool:
        """Any trial, while there is room."""
        return not self.full()

    def start(self, trial: Trial) -> None:
        """Begin the trial, or attach to it where an earlier run has begun it."""
        self._begin(trial, number=1, deaths=0)

    def _begin(self, trial: Trial, *, number: int, deaths: int) -> None:
        names = [name for name in self._left if name.startswith(f"{trial.id}-")]
        if names:
            name = max(names, key=lambda one: int(one.rpartition("-")[2]))
            self._left -= set(names)
            with contextlib.suppress(ValueError):  # it has ended meanwhile
                actor = self._ray.get_actor(name, self._namespace)
                self._follow(Attempt(trial=trial, number=number, deaths=deaths, actor=actor, node=None))
                return
        actor = (
            self._ray.remote(TrialHost)
            .options(
                name=f"{trial.id}-{time.time_ns()}",
                namespace=self._namespace,
                lifetime="detached",
                num_cpus=self._cpus,
                num_gpus=self._gpus,
                max_restarts=0,
            )
            .remote(self._work)
        )
        attempt = Attempt(trial=trial, number=number, deaths=deaths, actor=actor, node=actor.place.remote(""))
        self._give(attempt)
        self._follow(attempt)

    def _give(self, attempt: Attempt) -> None:
        """Hand the actor its job, and the baseline's predictions."""
        trial, job = attempt.trial, self._job
        samples = job.folder / "samples"
        taken = [path.name for place in (samples, samples / "earlier") for path in place.glob("*.jsonl")]
        given = {
            "trial": trial.to_dict(),
            "name": job.names.get(trial.id, trial.label),
            "command": job.command,
            "where": "ray",
            "taken": taken,
        }
        attempt.actor.run.remote(given, self._predictions_of(trial.reference))

    def _predictions_of(self, reference: str | None) -> Any:
        """A reference to the baseline's predictions in the object store; None where there are none."""
        if reference is None or not has_predictions(self._job.folder, reference):
            return None
        if reference not in self._predictions:
            content = reference_path(self._job.folder, reference).read_bytes()
            self._predictions = {reference: self._ray.put(content)}
        return self._predictions[reference]

    def _follow(self, attempt: Attempt) -> None:
        self._running[attempt.actor.result.remote()] = attempt

    def wait(self) -> tuple[Trial, Record]:
        """The next trial to end; KeyboardInterrupt, with every actor ended, when the run is asked to end."""
        from ray.exceptions import RayActorError, RayTaskError

        while True:
            if self._job.interruption.signum is not None:
                self.end()
                raise self._job.interruption.raised(None)
            ready, _ = self._ray.wait(list(self._running), timeout=LOOK_S)
            for reference in ready:
                attempt = self._running.pop(reference)
                try:
                    result = self._ray.get(reference)
                except RayActorError as error:
                    record = self._lost(attempt, error)
                except RayTaskError as error:
                    record = failed(attempt.trial, "process", "Ray", str(error))
                else:
                    record = self._taken(attempt, result)
                if record is not None:
                    return attempt.trial, record

    def _taken(self, attempt: Attempt, result: tuple[bytes, Mapping[str, bytes]] | None) -> Record | None:
        """The record, its files in the results folder; None where the trial only begins now."""
        if result is None:  # the run that made this actor died before it gave it its job
            self._give(attempt)
            self._follow(attempt)
            return None
        content, files = result
        keep_files(self._job.folder, files)
        self._ray.kill(attempt.actor)
        return parse_record(content)

    def _lost(self, attempt: Attempt, error: Exception) -> Record | None:
        """None where the trial begins again, else the record of its failure."""
        deaths = attempt.deaths + (not self._node_lost(attempt))
        if deaths < MOST_DEATHS and attempt.number < MOST_STARTS:
            self._begin(attempt.trial, number=attempt.number + 1, deaths=deaths)
            return None
        reason = " ".join(str(error).split())
        message = f"its Ray worker died {deaths} times, the last time because of: {reason[:300]}"
        return failed(attempt.trial, "process", "killed", message)

    def _node_lost(self, attempt: Attempt) -> bool:
        """Whether the trial's node is gone, and not its worker alone; False where that is not known."""
        if attempt.node is None:
            return False
        try:
            own = self._ray.get(attempt.node, timeout=LOOK_S)
        except Exception:  # Ray's errors of a reference whose owner or node is gone have no common base
            return True
        return own not in {node["NodeID"] for node in self._ray.nodes() if node["Alive"]}

    def end(self) -> None:
        """End every trial that runs; what an actor has measured so far is lost."""
        for attempt in self._running.values():
            with contextlib.suppress(Exception):  # one that has ended by itself
                self._ray.kill(attempt.actor)
        self._running.clear()


def failed(trial: Trial, stage: str, kind: str, message: str) -> Record:
    """A record that holds nothing but why there is none."""
    return new_record(trial).model_copy(update={"failure": Failure(stage=stage, kind=kind, message=message)})


def keep_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files that a node handed over, by their names in the results folder.

    StoreError where the disk refuses, and where the folder itself is gone: it is not made again.
    """
    for name, data in files.items():
        place = safe(name)
        for parent in reversed(place.parents[:-1]):
            make_folder(folder / parent)
        write_atomically(folder / place, data)


def safe(name: str) -> Path:
    """A file's place within the results folder; ValueError for one outside it."""
    path = Path(name)
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"'{name}' lies outside the results folder")
    return path
