"""The rule between a run's trials on one host: nothing scores programs while anything is timed.

Stages that are timed hold a lock together; whatever keeps all cores busy holds it alone, so that each waits
for the other. A turnstile before it lets the waiting one in: timed stages of other trials queue behind it.
The system frees the locks of a process that dies. Trials that run one after another have no locks.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

LOCKS = "QUANTBENCH_LOCKS"  # environment variable that names the folder of the locks


def beside_others() -> bool:
    """Whether other trials may run on this host meanwhile."""
    return LOCKS in os.environ


@contextmanager
def timed() -> Iterator[None]:
    """Held while something is timed; waits while programs are scored."""
    with ExitStack() as stack:
        with _held("turnstile", fcntl.LOCK_SH):
            stack.enter_context(_held("timing", fcntl.LOCK_SH))
        yield


@contextmanager
def disturbing() -> Iterator[None]:
    """Held while programs are scored; waits until nothing is timed."""
    with ExitStack() as stack:
        with _held("turnstile", fcntl.LOCK_EX):
            stack.enter_context(_held("timing", fcntl.LOCK_EX))
        yield


@contextmanager
def _held(name: str, kind: int) -> Iterator[None]:
    folder = os.environ.get(LOCKS)
    if folder is None:
        yield
        return
    descriptor = None
    with contextlib.suppress(OSError):
        Path(folder).mkdir(parents=True, exist_ok=True)
        descriptor = os.open(Path(folder, name), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, kind)
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)
