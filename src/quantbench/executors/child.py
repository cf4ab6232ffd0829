"""A trial in its process: the job as JSON on stdin, progress as JSON lines on stdout, the record in a file.

Called by `executors.forkserver` in the trial's own process.
"""

import contextlib
import json
import os
import sys
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from quantbench.progress import Progress

PROGRESS_INTERVAL_S = 0.1


def run_job(import_s: float) -> None:
    """Run the job on stdin; library chatter on stdout goes to the log.

    `import_s`: seconds that starting and importing took, in the process that this one was forked from.
    """
    news = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    job = json.loads(sys.stdin.buffer.readline())

    from quantbench.plan import trial_from_dict
    from quantbench.records import Record
    from quantbench.store import write_atomically
    from quantbench.trial import run_trial

    record_file = Path(job["record_file"])

    def checkpoint(record: Record) -> None:
        write_atomically(record_file, record.model_dump_json().encode(), synced=False)

    trial = trial_from_dict(job["trial"])
    if trial.load.threads:  # for libraries that are loaded later; torch itself is told by `trial`
        os.environ["OMP_NUM_THREADS"] = str(trial.load.threads)
    run_trial(
        trial,
        folder=Path(job["folder"]),
        name=job["name"],
        progress=throttled(news),
        checkpoint=checkpoint,
        command=job["command"],
        import_s=import_s,
    )


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
