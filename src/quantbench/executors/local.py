"""Runs each trial in a process of its own on this machine, and outlives whatever that process does.

The child writes its record so far to a file after every stage and its progress to a pipe. When it dies
(out of memory, kill -9) the file is what was measured, and the failure says how it ended. The parent
sleeps on the pipe meanwhile: a busy parent would slow a launch-bound child. When the parent dies, a guard
ends the child and all that it started, and removes their temporary folder.
"""

import contextlib
import json
import os
import selectors
import shutil
import signal
import time
from collections.abc import Mapping
from pathlib import Path

from quantbench.executors.interruption import Interruption, TrialInterrupted
from quantbench.executors.processes import ForkServer, TrialProcess, end, started
from quantbench.plan import Trial
from quantbench.progress import Progress
from quantbench.records import Failure, Record
from quantbench.store import make_folder, parse_record
from quantbench.trial import new_record

TAIL_LINES = 8
LOOK_S = 1.0  # between two looks whether a silent child still runs
FAREWELL_S = 0.2  # between two looks whether a child that closed its pipe has ended
CHUNK = 1 << 16
SHARED = "its speed was measured beside other trials on the same CPU, whose memory they share"


class LocalExecutor:
    """A Callable[[Trial], Record]; `folder` is the results folder, `command` what the user typed."""

    def __init__(
        self,
        folder: Path,
        *,
        server: ForkServer,
        command: str,
        progress: Progress,
        interruption: Interruption | None = None,
        names: Mapping[str, str] | None = None,
        where: str | None = None,
    ) -> None:
        """`names` of trials by id, for their files, where they are not their labels; `where` is a device."""
        self._folder = folder
        self._server = server
        self._command = command
        self._progress = progress
        self._interruption = interruption or Interruption()
        self._names = names or {}
        self._where = where

    def __call__(self, trial: Trial) -> Record:
        """Run the trial to its end; Ctrl-C and its like kill it at once, raised as TrialInterrupted."""
        if self._interruption.signum is not None:
            raise self._interruption.raised(None)
        record_file = self._folder / ".partial" / f"{trial.id}.json"
        name = self._names.get(trial.id, trial.label)
        log_file = self._folder / "logs" / f"{name}.log"
        for path in (record_file, log_file):
            make_folder(path.parent)
        remove(record_file)
        job = {
            "trial": trial.to_dict(),
            "folder": str(self._folder),
            "record_file": str(record_file),
            "command": self._command,
            "name": name,
        }
        began = time.monotonic()
        try:
            with log_file.open("wb") as log, started(self._server, log, self._check) as child:
                status = self._finish(child, json.dumps(job).encode() + b"\n", trial, record_file)
        except TrialInterrupted:
            raise
        except KeyboardInterrupt:  # before there was a process
            raise self._interruption.raised(None) from None
        record = read_partial(record_file, trial, None if status == 0 else death(status, log_file))
        return placed(record.model_copy(update={"took_s": time.monotonic() - began}), self._where)

    def _finish(self, child: TrialProcess, job: bytes, trial: Trial, record_file: Path) -> int:
        """The child's status; TrialInterrupted with its record so far when the run is asked to end."""
        try:
            return self._follow(child, job)
        except KeyboardInterrupt:
            whole = child.poll() == 0  # it ended by itself just before
            failure = Failure(
                stage="process", kind="interrupted", message=f"stopped by {self._interruption.name}"
            )
            end(child.pid, child.wait)
            record = read_partial(record_file, trial, None if whole else failure)
            raise self._interruption.raised(record) from None

    def _follow(self, child: TrialProcess, job: bytes) -> int:
        """Hand over the job, pass on progress until the child ends; its status."""
        with contextlib.suppress(BrokenPipeError):  # it died at once; its status says how
            child.stdin.write(job)
            child.stdin.flush()
        lines = ProgressPipe(self._progress)
        with selectors.DefaultSelector() as selector:
            selector.register(child.stdout, selectors.EVENT_READ)
            if self._interruption.fd is not None:
                selector.register(self._interruption.fd, selectors.EVENT_READ)
            while True:
                ready = [key.fd for key, _ in selector.select(LOOK_S)]
                if child.stdout.fileno() in ready:
                    chunk = os.read(child.stdout.fileno(), CHUNK)
                    if not chunk:
                        break
                    lines.feed(chunk)
                elif child.poll() is not None:  # what it forked may hold the pipe open for ever
                    break
                self._check()
        while (status := child.wait(FAREWELL_S)) is None:
            self._check()
        return status

    def _check(self) -> None:
        if self._interruption.signum is not None:
            raise KeyboardInterrupt


def placed(record: Record, where: str | None) -> Record:
    """The record with the device on which it ran beside other trials, if it did."""
    if where is None:
        return record
    environment = record.environment
    extra = {**environment.extra, "side_by_side_on": where}
    found: dict[str, object] = {"environment": environment.model_copy(update={"extra": extra})}
    if where.startswith("cpu") and record.speed:
        found["warnings"] = (*record.warnings, SHARED)
    return record.model_copy(update=found)


class ProgressPipe:
    """Progress from a child's pipe; what is no progress is dropped, since libraries may write there too."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._rest = b""

    def feed(self, chunk: bytes) -> None:
        """Pass on every complete line."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        self._rest = self._rest[-CHUNK:]
        for line in lines:
            with contextlib.suppress(ValueError, TypeError, RecursionError):
                stage, done, total = json.loads(line)
                self._progress(str(stage), int(done), int(total))


def remove(path: Path) -> None:
    """Whatever lies at the path, a file of an earlier run or a folder, is gone."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    path.unlink(missing_ok=True)


def read_partial(path: Path, trial: Trial, failure: Failure | None) -> Record:
    """The record that the child wrote last, or an empty one; `failure` is added where it has none.

    A file that is no record of this trial becomes a failure that says so: nothing in it may end the run.
    """
    try:
        record = parse_record(path.read_bytes())
        if record.trial_id != trial.id:
            raise ValueError(f"it is the record of the trial {record.trial_id[:16]}")
    except FileNotFoundError:
        record = new_record(trial)
        failure = failure or unreadable("it is missing")
    except (OSError, ValueError) as error:
        record = new_record(trial)
        failure = failure or unreadable(str(error))
    with contextlib.suppress(OSError):
        remove(path)
    if failure is None or record.failure is not None:
        return record
    return record.model_copy(update={"failure": failure})


def unreadable(reason: str) -> Failure:
    """The failure of a trial that ended in order and left no record that can be read."""
    message = f"the trial ended without a readable record: {reason}; run the same command again"
    return Failure(stage="process", kind="no record", message=message)


def death(status: int, log_file: Path) -> Failure:
    """Why a child ended with a status other than 0, with the end of its log where that is still there."""
    tail = ""
    with contextlib.suppress(OSError):  # the folder may be gone, which whoever writes to it next will say
        tail = "\n".join(log_file.read_text(errors="replace").splitlines()[-TAIL_LINES:])
    if status >= 0:
        message = f"the trial's process ended with status {status}; its log is {log_file}"
        return Failure(stage="process", kind="exited", message=message, traceback=tail or None)
    name = signal.Signals(-status).name
    hint = " (often the system running out of memory)" if name == "SIGKILL" else ""
    message = f"the trial's process was ended by {name}{hint}; its log is {log_file}"
    return Failure(stage="process", kind="killed", message=message, traceback=tail or None)
