"""What kept this process from running while it was measured: waiting for a core, time stolen, other programs.

A thread that sleeps because the work does not fill it is no sign of load; one that is ready and may not run
is. Linux counts that for every thread (the second figure of /proc/self/task/*/schedstat). Where it does not,
what all programs together took of the cores is left. Reads counters only; `analysis.load` judges.
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

TASKS = Path("/proc/self/task")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadReading:
    """Counters in seconds since their start; None where the system has none."""

    queued: float | None  # the threads that matter, ready to run and without a core
    stolen: float | None  # all cores, taken by the hypervisor
    busy: float | None  # all cores, with any program's work
    own: float  # this process's own work


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadShares:
    """What lay between two readings; None where the system has no counter."""

    queued: float | None  # of the threads' time
    stolen: float | None  # of the cores' time
    foreign_cores: float | None  # cores that other programs kept busy


def read_load(device: str = "cpu") -> LoadReading:
    """The counters now; takes about 0.1 ms a core.

    On a CPU all threads of this process matter. A GPU is fed by the main thread; others that spin beside it
    may wait, and the hypervisor may take other cores, without any effect.
    """
    feeds = device.startswith("cuda")
    return LoadReading(
        queued=queued_s(TASKS, str(os.getpid()) if feeds else "*"),
        stolen=None if feeds else stolen_s(),
        busy=busy_s(),
        own=time.process_time(),
    )


def stolen_s() -> float | None:
    """Seconds of all cores that the hypervisor took; None where the system does not say."""
    return getattr(psutil.cpu_times(), "steal", None)


def busy_s() -> float:
    """Seconds of all cores with any program's work."""
    times = psutil.cpu_times()
    idle = times.idle + getattr(times, "iowait", 0.0) + getattr(times, "steal", 0.0)
    guests = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)  # are in user time already
    return float(sum(times) - guests - idle)


def queued_s(tasks: Path, threads: str = "*") -> float | None:
    """Seconds that the threads of this pattern waited for a core; None where the system does not count it."""
    total, counted = 0, False
    for path in tasks.glob(f"{threads}/schedstat"):
        try:
            total += int(path.read_text().split()[1])
        except (OSError, IndexError, ValueError):
            continue  # the thread has just ended
        counted = True
    return total / 1e9 if counted else None


def load_between(
    before: LoadReading, after: LoadReading, wall_s: float, threads: int, cores: int | None = None
) -> LoadShares:
    """Shares of `wall_s` seconds in which `threads` threads were to work."""

    def spent(name: str) -> float | None:
        first, last = getattr(before, name), getattr(after, name)
        return None if first is None or last is None else max(0.0, last - first) / max(wall_s, 1e-9)

    queued, stolen, busy = spent("queued"), spent("stolen"), spent("busy")
    own = (after.own - before.own) / max(wall_s, 1e-9)
    return LoadShares(
        queued=None if queued is None else queued / threads,
        stolen=None if stolen is None else stolen / (cores or os.cpu_count() or 1),
        foreign_cores=None if busy is None else max(0.0, busy - own),
    )
