"""Parts of a report made at the same time, each by a fork that has all that was computed before.

Where forking is not safe (not Linux, other threads in this process), of no use, or a fork is killed, they are
made one by one.
"""

import os
import sys
import threading
from collections.abc import Callable, Sequence

Part = Callable[[], Sequence[str]]  # writes its files; their names
MOST = 8  # processes

_parts: list[Part] = []  # what forks find when they begin


def made_together(parts: Sequence[Part]) -> list[str]:
    """The names of all parts' files, in the parts' order; the first part's error is raised."""
    workers = min(len(parts), MOST, cores())
    if workers < 2 or sys.platform != "linux" or threading.active_count() > 1:
        return [name for part in parts for name in part()]
    from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
    from multiprocessing import get_context

    _parts[:] = parts
    try:
        with ProcessPoolExecutor(workers, mp_context=get_context("fork")) as pool:
            return [name for names in pool.map(_make, range(len(parts))) for name in names]
    except BrokenExecutor:  # a fork was killed, perhaps for want of memory
        return [name for part in parts for name in part()]
    finally:
        _parts.clear()


def _make(number: int) -> list[str]:
    return list(_parts[number]())


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
