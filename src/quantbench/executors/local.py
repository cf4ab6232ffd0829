"""Runs each trial in a fresh process of this machine, and outlives whatever that process does.

The child writes its record so far to a file after every stage and its progress to a pipe. When it dies
(out of memory, kill -9) the file is what was measured, and the failure says how it ended. The parent
sleeps on the pipe meanwhile: a busy parent would slow a launch-bound child.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from quantbench.evaluate import Progress
from quantbench.plan import Trial
from quantbench.records import Failure, Record
from quantbench.store import parse_record
from quantbench.trial import new_record

TAIL_LINES = 8


class LocalExecutor:
    """A Callable[[Trial], Record]; `folder` is the results folder, `command` what the user typed."""

    def __init__(self, folder: Path, *, command: str, progress: Progress) -> None:
        self._folder = folder
        self._command = command
        self._progress = progress

    def __call__(self, trial: Trial) -> Record:
        """Run the trial to its end; Ctrl-C kills it at once and is raised again as TrialInterrupted."""
        record_file = self._folder / ".partial" / f"{trial.id}.json"
        record_file.parent.mkdir(parents=True, exist_ok=True)
        record_file.unlink(missing_ok=True)
        log_file = self._folder / "logs" / f"{trial.label}.log"
        log_file.parent.mkdir(parents=True, exist_ok=True)
        job = {
            "trial": trial.to_dict(),
            "folder": str(self._folder),
            "record_file": str(record_file),
            "command": self._command,
        }
        with log_file.open("wb") as log:
            child = subprocess.Popen(
                [sys.executable, "-m", "quantbench.executors.child"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
            try:
                status = self._follow(child, json.dumps(job).encode())
            except KeyboardInterrupt:
                failure = Failure(stage="process", kind="interrupted", message="stopped by Ctrl-C")
                raise TrialInterrupted(read_partial(record_file, trial, failure)) from None
            finally:
                kill_group(child)
        if status == 0:
            return read_partial(record_file, trial, None)
        return read_partial(record_file, trial, death(status, log_file))

    def _follow(self, child: "subprocess.Popen[bytes]", job: bytes) -> int:
        assert child.stdin is not None and child.stdout is not None
        try:
            child.stdin.write(job)
            child.stdin.close()
        except BrokenPipeError:
            pass  # it died at once; its status says how
        for line in child.stdout:
            stage, done, total = json.loads(line)
            self._progress(stage, done, total)
        return child.wait()


class TrialInterrupted(KeyboardInterrupt):
    """Ctrl-C during a trial; carries what was measured until then."""

    def __init__(self, record: Record) -> None:
        super().__init__()
        self.record = record


def kill_group(child: "subprocess.Popen[bytes]") -> None:
    """End the child and everything it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def read_partial(path: Path, trial: Trial, failure: Failure | None) -> Record:
    """The record that the child wrote last, or an empty one; `failure` is added where it has none."""
    record = parse_record(path.read_bytes()) if path.exists() else new_record(trial)
    path.unlink(missing_ok=True)
    if failure is None or record.failure is not None:
        return record
    return record.model_copy(update={"failure": failure})


def death(status: int, log_file: Path) -> Failure:
    """Why a child ended with a status other than 0, with the end of its log."""
    tail = "\n".join(log_file.read_text(errors="replace").splitlines()[-TAIL_LINES:])
    if status >= 0:
        message = f"the trial's process ended with status {status}; its log is {log_file}"
        return Failure(stage="process", kind="exited", message=message, traceback=tail or None)
    name = signal.Signals(-status).name
    hint = " (often the system running out of memory)" if name == "SIGKILL" else ""
    message = f"the trial's process was ended by {name}{hint}; its log is {log_file}"
    return Failure(stage="process", kind="killed", message=message, traceback=tail or None)
