"""The sandbox as the rest of the product sees it: open it, hand it programs, get executions.

`open_sandbox` starts a box, attacks it (selftest.py) and refuses to go on when it does not hold. The
verdicts are made by the referees, see referee.py; here is only who runs when, and what is tried again.
"""

import os
import platform
import selectors
import shutil
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from quantbench.errors import SandboxError
from quantbench.records import Outcome
from quantbench.sandbox.inside.confine import Limits
from quantbench.sandbox.lane import Lane
from quantbench.sandbox.launch import BUBBLEWRAP, LANDLOCK, UNSAFE
from quantbench.sandbox.program import Execution, Program
from quantbench.sandbox.selftest import attack

DEFAULT_LIMITS = Limits(
    cpu_s=3,
    wall_s=12.0,
    memory_bytes=1 << 30,
    file_bytes=16 << 20,
    scratch_bytes=16 << 20,
    scratch_files=256,
    descriptors=64,
    processes=64,
    stack_bytes=8 << 20,
)
CONTAINED = (BUBBLEWRAP, LANDLOCK)
MAX_LANES = 32
STARVED = 0.9  # a program that got less than this share of a core may have been held up by others
ATTEMPTS = 2  # of a program whose lane died under it

OnDone = Callable[[int, Execution], None]


class Sandbox:
    """Runs programs, several at once; `mode` says how they are contained."""

    def __init__(self, mode: str, *, limits: Limits, workers: int, first: Lane) -> None:
        self.mode = mode
        self._limits = limits
        self._workers = workers
        self._lanes = [first]

    def run(self, programs: Sequence[Program], on_done: OnDone | None = None) -> list[Execution]:
        """Run all programs; executions in the same order. `on_done` is told each index once, when final.

        A time-out of a program that did not get a core of its own is tried once more, alone.
        """
        batch = _Batch(programs, on_done)
        self._drain(batch, min(self._workers, len(programs)))
        batch.take_up_starved()
        self._drain(batch, 1)
        return batch.executions()

    def close(self) -> None:
        """End every process."""
        for lane in self._lanes:
            lane.kill()
        self._lanes = []

    def _drain(self, batch: "_Batch", width: int) -> None:
        while len(self._lanes) < width:
            self._lanes.append(Lane(self.mode, self._limits))
        busy: dict[int, int] = {}  # lane -> program
        while batch.waiting or busy:
            for index in range(width):
                if index not in busy and batch.waiting:
                    busy[index] = batch.waiting.popleft()
                    self._lanes[index].submit(batch.programs[busy[index]], wall_s=self._limits.wall_s)
            for index in self._ready(busy):
                program = busy.pop(index)
                self._finish(batch, program, index)

    def _ready(self, busy: dict[int, int]) -> list[int]:
        """Lanes with a verdict, or past their deadline; waits for the first."""
        with selectors.DefaultSelector() as selector:
            for index in busy:
                selector.register(self._lanes[index].fd, selectors.EVENT_READ, index)
            first = min(self._lanes[index].deadline for index in busy)
            ready = [key.data for key, _ in selector.select(max(0.0, first - time.monotonic()))]
        now = time.monotonic()
        return ready or [index for index in busy if self._lanes[index].deadline <= now]

    def _finish(self, batch: "_Batch", program: int, index: int) -> None:
        lane = self._lanes[index]
        late = lane.deadline <= time.monotonic()
        report = None if late else lane.verdict()
        if report is None:
            lane.kill()
            self._lanes[index] = Lane(self.mode, self._limits)
        if late:
            detail = "the test did not end in time"
            report = {"outcome": "timed_out", "detail": detail, "wall_s": self._limits.wall_s, "cpu_s": None}
        if report is not None and report["outcome"] == "broken_box":
            raise SandboxError(f"the box broke while programs ran: {report['detail']}")
        batch.take(program, report)


class _Batch:
    """Programs on their way through the lanes."""

    def __init__(self, programs: Sequence[Program], on_done: OnDone | None) -> None:
        self.programs = programs
        self.waiting = deque(range(len(programs)))
        self._on_done = on_done
        self._done: dict[int, Execution] = {}
        self._starved: list[int] = []
        self._retried = False
        self._deaths: dict[int, int] = {}

    def take(self, index: int, report: dict[str, Any] | None) -> None:
        """Enter a report; None says that the lane died."""
        if report is None:
            self._deaths[index] = self._deaths.get(index, 0) + 1
            if self._deaths[index] < ATTEMPTS:
                self.waiting.append(index)
                return
            report = {
                "outcome": "crashed",
                "detail": "the test's process ended",
                "wall_s": 0.0,
                "cpu_s": None,
            }
        if not self._retried and _was_starved(report):
            self._starved.append(index)
            return
        execution = Execution(
            outcome=Outcome(report["outcome"]), detail=report["detail"], seconds=report["wall_s"]
        )
        self._done[index] = execution
        if self._on_done:
            self._on_done(index, execution)

    def take_up_starved(self) -> None:
        """Put what may have been held up by others in line again; their next verdict is final."""
        self._retried = True
        self.waiting.extend(self._starved)

    def executions(self) -> list[Execution]:
        return [self._done[index] for index in range(len(self.programs))]


def _was_starved(report: dict[str, Any]) -> bool:
    if report["outcome"] != "timed_out":
        return False
    return report["cpu_s"] is None or report["cpu_s"] < STARVED * report["wall_s"]


@contextmanager
def open_sandbox(
    unsafe: bool = False,
    *,
    mode: str | None = None,
    limits: Limits = DEFAULT_LIMITS,
    workers: int | None = None,
) -> Iterator[Sandbox]:
    """A sandbox that has withstood its self-test; SandboxError with the reasons where none does.

    `unsafe` runs programs with nothing but a process and a time limit around them. `mode` names one of
    CONTAINED; without it the first that holds is taken. `workers` lanes run at once, else one a core.
    """
    limits, count = _for_this_user(limits), workers or min(MAX_LANES, usable_cores())
    wanted = (UNSAFE,) if unsafe else (mode,) if mode else CONTAINED
    chosen, lane = _open_first(wanted, limits)
    sandbox = Sandbox(chosen, limits=limits, workers=count, first=lane)
    try:
        yield sandbox
    finally:
        sandbox.close()


def _open_first(modes: Sequence[str], limits: Limits) -> tuple[str, Lane]:
    reasons = []
    for mode in modes:
        try:
            return mode, open_lane(mode, limits)
        except SandboxError as error:
            reasons.append(f"{mode}: {error}")
    raise SandboxError(
        f"untrusted programs cannot be contained here ({'; '.join(reasons)}); mend one of these, "
        "or pass --unsafe-no-sandbox to run them without containment"
    )


def open_lane(mode: str, limits: Limits) -> Lane:
    """A first lane of this mode that passed the self-test; SandboxError says why not and how to mend it."""
    problem = missing(mode)
    if problem:
        raise SandboxError(problem)
    lane = Lane(mode, limits)
    try:
        finding = attack(lane, contained=mode != UNSAFE)
        if finding is None:
            return lane
        raise SandboxError(explain(mode, finding, lane.complaint()))
    except BaseException:
        lane.kill()
        raise


def missing(mode: str) -> str | None:
    """What this mode needs and the machine lacks, as far as it can be seen without trying."""
    if sys.platform == "win32":
        return "it needs fork, which Windows lacks; run quantbench in WSL"
    if mode == UNSAFE:
        return None
    if sys.platform != "linux":
        return "it needs Linux; run quantbench in a Linux container or virtual machine"
    if platform.machine() not in ("x86_64", "aarch64"):
        return f"its call filter knows x86-64 and aarch64, not {platform.machine()}"
    if mode == BUBBLEWRAP and shutil.which("bwrap") is None:
        return "it is not installed; run `apt install bubblewrap` or `dnf install bubblewrap`"
    return None


def explain(mode: str, finding: str, complaint: str) -> str:
    """A failed self-test in one sentence, with the usual remedy."""
    seen = f"{finding}: {complaint}" if complaint else finding
    if mode == BUBBLEWRAP and any(word in complaint for word in ("uid map", "namespace", "loopback")):
        return (
            f"{seen}; user namespaces are forbidden here (on Ubuntu 24.04 run `sudo sysctl "
            "kernel.apparmor_restrict_unprivileged_userns=0` or give bwrap a profile that allows userns)"
        )
    if "no Landlock" in seen:
        return f"{seen}; it needs Linux 5.13 or newer, with `landlock` in the boot option lsm="
    return seen


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _for_this_user(limits: Limits) -> Limits:
    """The thread limit counts all tasks of a user id: add those that are already there."""
    return replace(limits, processes=limits.processes + _tasks_of(os.geteuid() or 65534))


def _tasks_of(uid: int) -> int:
    count = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if process.stat().st_uid == uid:
                count += len(list((process / "task").iterdir()))
        except OSError:
            continue  # it ended meanwhile
    return count


def diagnose() -> Iterator[tuple[str, bool, str]]:
    """Each way of containing programs, whether it holds here, and what was seen or how to mend it."""
    for mode in CONTAINED:
        try:
            open_lane(mode, _for_this_user(DEFAULT_LIMITS)).kill()
            yield mode, True, "holds: its self-test passed"
        except SandboxError as error:
            yield mode, False, str(error)
