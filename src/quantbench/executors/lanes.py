"""Trials side by side on one machine, one a device, each with its own share of the cores.

A lane is a thread that runs trials one after another with a server of its own, whose only GPU is the lane's:
in every trial it is cuda:0, so that its id does not say where it ran. The trials of a model stay on one lane
where there are as many models as lanes, so that methods are compared on one GPU; else any lane takes them.
"""

import os
import queue
import tempfile
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from quantbench.executors.interruption import TrialInterrupted
from quantbench.executors.job import Job
from quantbench.executors.local import LocalExecutor
from quantbench.executors.processes import ForkServer
from quantbench.plan import Trial
from quantbench.quiet import LOCKS
from quantbench.records import Record

CORES = "QUANTBENCH_CORES"  # of a server and all that it forks
VISIBLE = "CUDA_VISIBLE_DEVICES"
FREE_S = 1.0  # between two looks whether the run was asked to end


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """A device, the environment in which it is the only one, and what else is its own."""

    name: str  # 'cuda:1'
    environment: dict[str, str]


def lanes_of(devices: Sequence[str], cores: Sequence[int] | None = None) -> list[Lane]:
    """A lane for each device; the cores are dealt out in blocks, what is over stays idle."""
    own = sorted(os.sched_getaffinity(0)) if cores is None else list(cores)
    share = max(1, len(own) // len(devices))
    lanes = []
    for place, device in enumerate(devices):
        block = own[place * share : (place + 1) * share] or own[-1:]
        environment = {CORES: ",".join(map(str, block))}
        if device.startswith("cuda"):
            environment[VISIBLE] = visible(int(device.partition(":")[2] or 0))
        lanes.append(Lane(name=device, environment=environment))
    return lanes


def visible(index: int) -> str:
    """How CUDA_VISIBLE_DEVICES names the GPU that torch numbers `index` now."""
    named = [name.strip() for name in os.environ.get(VISIBLE, "").split(",") if name.strip()]
    return named[index] if index < len(named) else str(index)


class Lanes:
    """The runner's Pool over several lanes; a context manager that ends their servers."""

    def __init__(self, lanes: Sequence[Lane], job: Job) -> None:
        self._lanes, self._job = list(lanes), job
        self._ended: queue.Queue[tuple[int, Trial, Record | BaseException]] = queue.Queue()
        self._tasks: list[queue.Queue[Trial | None]] = [queue.Queue() for _ in lanes]
        self._busy: dict[int, Trial] = {}
        self._home: dict[str, int] = {}  # model -> lane
        self._threads: list[threading.Thread] = []
        self._locks = tempfile.TemporaryDirectory(prefix="quantbench-locks-")

    def __enter__(self) -> Self:
        for place in range(len(self._lanes)):
            thread = threading.Thread(target=self._serve, args=(place,), daemon=True)
            thread.start()
            self._threads.append(thread)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for tasks in self._tasks:
            tasks.put(None)
        for thread in self._threads:
            thread.join()
        self._locks.cleanup()

    def full(self) -> bool:
        """Whether every lane runs a trial."""
        return len(self._busy) == len(self._lanes)

    def free(self, trial: Trial) -> bool:
        """Whether a lane is idle that may run it."""
        return self._lane_for(trial) is not None

    def _lane_for(self, trial: Trial) -> int | None:
        idle = [place for place in range(len(self._lanes)) if place not in self._busy]
        home = self._home.get(trial.model)
        if home is not None and len(self._job.models) >= len(self._lanes):
            return home if home in idle else None
        if home in idle:
            return home
        taken = list(self._home.values())
        return min(idle, key=taken.count, default=None)

    def start(self, trial: Trial) -> None:
        """Hand it to its lane."""
        place = self._lane_for(trial)
        assert place is not None
        self._home.setdefault(trial.model, place)
        self._busy[place] = trial
        self._tasks[place].put(trial)

    def wait(self) -> tuple[Trial, Record]:
        """The next to end; TrialInterrupted with the records of all lanes when the run is asked to end."""
        place, trial, found = self._next()
        del self._busy[place]
        if isinstance(found, TrialInterrupted):
            self._interrupted(found)
        if isinstance(found, BaseException):
            raise found
        return trial, found

    def _next(self) -> tuple[int, Trial, Record | BaseException]:
        while True:
            try:
                return self._ended.get(timeout=FREE_S)
            except queue.Empty:
                continue

    def _interrupted(self, first: TrialInterrupted) -> None:
        records = [first.record]
        while self._busy:
            place, _, found = self._next()
            del self._busy[place]
            records.append(found.record if isinstance(found, TrialInterrupted) else None)
            if isinstance(found, Record):
                records[-1] = found
        first.records = tuple(record for record in records if record is not None)
        raise first

    def _serve(self, place: int) -> None:
        """A lane's thread: its server lives as long as it does, as the system ends what a thread started."""
        lane = self._lanes[place]
        with ExitStack() as stack:
            server = stack.enter_context(ForkServer(lane.environment | {LOCKS: self._locks.name}))
            execute = LocalExecutor(
                self._job.folder,
                server=server,
                command=self._job.command,
                progress=self._job.display.lane(lane.name),
                interruption=self._job.interruption,
                names=self._job.names,
                where=lane.name,
            )
            while (trial := self._tasks[place].get()) is not None:
                found: Record | BaseException
                try:
                    found = execute(trial)
                except BaseException as error:  # handed to the thread that waits
                    found = error
                self._ended.put((place, trial, found))
