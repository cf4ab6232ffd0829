"""The process of one trial: a job as JSON on stdin, progress as JSON lines on stdout, the record in a file.

Started by `executors.local`; not a command for users.
"""

import contextlib
import ctypes
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from quantbench.progress import Progress

PROGRESS_INTERVAL_S = 0.1
PR_SET_PDEATHSIG = 1


def main() -> None:
    """Run the job on stdin; library chatter on stdout goes to the log."""
    die_with_parent()
    news = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    job = json.loads(sys.stdin.buffer.readline())
    if os.getppid() != job["parent"]:  # it ended before this process could ask to end with it
        return

    from quantbench.plan import trial_from_dict
    from quantbench.records import Record
    from quantbench.store import write_atomically
    from quantbench.trial import run_trial

    record_file = Path(job["record_file"])

    def checkpoint(record: Record) -> None:
        write_atomically(record_file, record.model_dump_json().encode())

    trial = trial_from_dict(job["trial"])
    if trial.load.threads:
        os.environ["OMP_NUM_THREADS"] = str(trial.load.threads)
    run_trial(
        trial,
        folder=Path(job["folder"]),
        name=job["name"],
        progress=throttled(news),
        checkpoint=checkpoint,
        command=job["command"],
        import_s=import_torch_s(),
    )


def import_torch_s() -> float:
    """Seconds from this process's start until torch is imported."""
    import torch  # noqa: F401

    return time.time() - psutil.Process().create_time()


def throttled(news: IO[str]) -> "Progress":
    """A Progress that writes at most ten lines a second, and always the last step of a stage."""
    last = 0.0

    def progress(stage: str, done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < PROGRESS_INTERVAL_S and done != total:
            return
        last = now
        with contextlib.suppress(BrokenPipeError):
            news.write(json.dumps([stage, done, total]) + "\n")

    return progress


def die_with_parent() -> None:
    """Ask Linux to kill this process when its parent ends; elsewhere the guard alone does."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    main()
