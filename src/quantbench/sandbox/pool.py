"""The sandbox as the rest of the product sees it: open it, hand it programs, get executions.

`open_sandbox` starts a box, attacks it (selftest.py) and refuses to go on when it does not hold. The
verdicts are made by the referees, see referee.py; here is only who runs when, and what is tried again.
"""

import os
import secrets
import selectors
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from quantbench.errors import SandboxError
from quantbench.records import Outcome
from quantbench.sandbox.inside.channel import TooLarge
from quantbench.sandbox.inside.limits import Limits
from quantbench.sandbox.inside.values import unpack
from quantbench.sandbox.lane import Lane
from quantbench.sandbox.modes import UNSAFE
from quantbench.sandbox.opening import for_this_user, open_first, open_lane, usual_modes
from quantbench.sandbox.program import Execution, OnDone, Program

DEFAULT_LIMITS = Limits()
MAX_LANES = 32
SHORT_PROGRAMS = 24  # of some 6 ms: running them takes a lane about as long as starting another one
PATIENT_S = 0.5  # after which programs that still wait are worth all lanes
STARVED = 0.9  # a program that got less than this share of a core may have been held up by others,
PREEMPTED = 20  # if it was ready to run this often while others ran: a tenth of its time in turns of 50 ms
SEED_VARIABLE = "QUANTBENCH_TEST_SEED"
ATTEMPTS = 2  # of a program whose lane died under it

Report = dict[str, Any]  # what a referee says of a program


class Sandbox:
    """Runs programs, several at once; `mode` says how they are contained, `seed` what the tests draw."""

    def __init__(self, first: Lane, *, workers: int, seed: int = 0) -> None:
        self.mode = first.mode
        self.seed = seed
        self._limits = first.limits
        self._workers = workers
        self._lanes = [first]

    def run(self, programs: Sequence[Program], on_done: OnDone | None = None) -> list[Execution]:
        """Run all programs; executions in the same order. `on_done` is told each index once, when final.

        A program that ran late and had to make way for others, or was refused a thread, is tried once more,
        alone.
        """
        batch = Batch(programs, on_done)
        self._drain(batch, min(self._workers, len(programs)))
        batch.take_up_starved()
        self._drain(batch, 1)
        return [execution_of(report) for report in batch.reports()]

    def collect(self, programs: Sequence[Program], variable: str) -> list[tuple[Execution, Any]]:
        """Run programs whose tests leave a finding in `variable`; None is that of one that did not pass."""
        batch = Batch(programs, None, collect=variable)
        self._drain(batch, min(self._workers, len(programs)))
        batch.take_up_starved()
        self._drain(batch, 1)
        return [
            (
                execution_of(report),
                unpack(report["collected"]) if report.get("collected") is not None else None,
            )
            for report in batch.reports()
        ]

    def start_lanes(self, programs: int) -> None:
        """Have as many lanes as so many short programs are worth; they start while others run."""
        self._widen(min(self._workers, lanes_for(programs)))

    def _widen(self, width: int) -> None:
        while len(self._lanes) < width:
            self._lanes.append(Lane(self.mode, self._limits))

    def close(self) -> None:
        """End every process; they end together."""
        for lane in self._lanes:
            lane.begin_to_end()
        while self._lanes:
            self._lanes.pop().kill()

    def _drain(self, batch: "Batch", width: int) -> None:
        """Run what waits in up to `width` lanes: in few until it turns out that programs are not short."""
        busy: dict[int, int] = {}  # lane -> program
        self._widen(min(width, lanes_for(len(batch.waiting))))
        patient_until = time.monotonic() + PATIENT_S
        while batch.waiting or busy:
            if batch.waiting and time.monotonic() >= patient_until:
                self._widen(width)
            for lane in range(min(width, len(self._lanes))):
                while lane not in busy and batch.waiting:
                    self._submit(lane, batch, busy)
            for lane in self._ready(busy, patient_until if batch.waiting else None):
                batch.take(busy.pop(lane), self._report(lane))

    def _submit(self, lane: int, batch: "Batch", busy: dict[int, int]) -> None:
        """Give a lane the next program; one that no lane can take has failed."""
        index = batch.waiting.popleft()
        try:
            self._lanes[lane].submit(batch.programs[index], collect=batch.collect, seed=self.seed)
            busy[lane] = index
        except TooLarge as error:
            batch.take(index, _unheard("failed", f"the program is too large: {error}", 0.0))

    def _ready(self, busy: dict[int, int], until: float | None) -> list[int]:
        """Lanes with a verdict, or past their deadline; waits for the first, where named until then."""
        if not busy:
            return []
        with selectors.DefaultSelector() as selector:
            for lane in busy:
                selector.register(self._lanes[lane].fd, selectors.EVENT_READ, lane)
            first = min(self._lanes[lane].deadline for lane in busy)
            if until is not None and time.monotonic() < until:
                first = min(first, until)
            ready = [key.data for key, _ in selector.select(max(0.0, first - time.monotonic()))]
        now = time.monotonic()
        return ready or [lane for lane in busy if self._lanes[lane].deadline <= now]

    def _report(self, lane: int) -> Report | None:
        """The verdict of a lane; a lane that has none is replaced."""
        late = self._lanes[lane].deadline <= time.monotonic()
        held = late and self._lanes[lane].is_held()
        report = None if late else self._lanes[lane].verdict()
        if report is None:
            self._lanes[lane].kill()
            self._lanes[lane] = Lane(self.mode, self._limits)
        if late:
            return _unheard("timed_out", "the test did not end in time", self._limits.wall_s, again=not held)
        if report is not None and report["outcome"] == "broken_box":
            raise SandboxError(f"the box broke while programs ran: {report['detail']}; run again")
        return report


class Batch:
    """Programs on their way through the lanes."""

    def __init__(self, programs: Sequence[Program], on_done: OnDone | None, collect: str = "") -> None:
        self.programs = programs
        self.waiting = deque(range(len(programs)))
        self.collect = collect
        self._on_done = on_done
        self._done: dict[int, Report] = {}
        self._starved: list[int] = []
        self._retrying = False
        self._deaths: dict[int, int] = {}

    def take(self, index: int, report: Report | None) -> None:
        """Enter a report; None says that the lane died."""
        if report is None:
            self._deaths[index] = self._deaths.get(index, 0) + 1
            if self._deaths[index] < ATTEMPTS:
                self.waiting.append(index)
                return
            report = _unheard("crashed", "the test's process ended", 0.0)
        if not self._retrying and was_starved(report):
            self._starved.append(index)
            return
        self._done[index] = report
        if self._on_done:
            self._on_done(index, execution_of(report))

    def take_up_starved(self) -> None:
        """Put what may have been held up by others in line again; their next verdict is final."""
        self._retrying = True
        self.waiting.extend(self._starved)

    def reports(self) -> list[Report]:
        """In the programs' order."""
        return [self._done[index] for index in range(len(self.programs))]


def lanes_for(programs: int) -> int:
    """Lanes that so many short programs are worth."""
    return -(-programs // SHORT_PROGRAMS)


def was_starved(report: Report) -> bool:
    """Whether an end may be the fault of a busy machine or a neighbour.

    A time-out is, if program and test had no core of their own and were made to wait by others, as one that
    sleeps is not. So is the end of a program that the system refused a thread.
    """
    if report.get("again") or report.get("no_thread"):
        return True
    if report["outcome"] != Outcome.TIMED_OUT or report["cpu_s"] is None:
        return False
    return bool(report["cpu_s"] < STARVED * report["wall_s"] and report["preempted"] >= PREEMPTED)


def execution_of(report: Report) -> Execution:
    """A report as the product keeps it; what a program wrote into the detail is made printable."""
    return Execution(
        outcome=Outcome(report["outcome"]),
        detail="".join(c if c.isprintable() else " " for c in report["detail"]),
        seconds=report["wall_s"],
        extra=tuple(Outcome(outcome) for outcome in report["extra"]),
    )


def _unheard(outcome: str, detail: str, wall_s: float, *, again: bool = False) -> Report:
    return {
        "outcome": outcome,
        "detail": detail,
        "wall_s": wall_s,
        "cpu_s": None,
        "extra": [],
        "again": again,
    }


@contextmanager
def open_sandbox(
    unsafe: bool = False,
    *,
    mode: str | None = None,
    limits: Limits = DEFAULT_LIMITS,
    workers: int | None = None,
    seed: int | None = None,
) -> Iterator[Sandbox]:
    """A sandbox that has withstood its self-test; SandboxError with the reasons where none does.

    `unsafe` runs programs with nothing but a process and a time limit around them. `mode` names one of
    modes.CONTAINED; without it the first that holds is taken. `workers` lanes run at once, else one a core.
    `seed` repeats the random numbers that the tests of an earlier run drew, and so does QUANTBENCH_TEST_SEED;
    without either nobody knows them.
    """
    modes = (UNSAFE,) if unsafe else (mode,) if mode else usual_modes()
    chosen = choose_seed() if seed is None else seed
    lane = open_first(modes, for_this_user(limits))
    sandbox = Sandbox(lane, workers=workers or min(MAX_LANES, usable_cores()), seed=chosen)
    try:
        yield sandbox
    finally:
        sandbox.close()


def choose_seed() -> int:
    """What the environment names, else one that nobody can know; SandboxError for what is no number."""
    named = os.environ.get(SEED_VARIABLE)
    if not named:
        return secrets.randbits(48)
    if not (named.isascii() and named.isdigit() and len(named) < 19):
        raise SandboxError(f"{SEED_VARIABLE} is '{named[:40]}'; set it to the test seed of an earlier run")
    return int(named)


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def diagnose() -> Iterator[tuple[str, bool, str]]:
    """Each way of containing programs, whether it holds here, and what was seen or how to fix it."""
    for mode in usual_modes():
        try:
            open_lane(mode, for_this_user(DEFAULT_LIMITS)).kill()
            yield mode, True, "holds: its self-test passed"
        except SandboxError as error:
            yield mode, False, str(error)
