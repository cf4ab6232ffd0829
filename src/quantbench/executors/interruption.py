"""Signals that ask a run to end: noted when they come, acted on where nothing is lost.

No exception is raised out of a handler, which could strike between a trial's end and its record being stored:
the run waits on `fd` beside its trial's output instead. Signals that follow the first change nothing.
"""

import contextlib
import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from quantbench.records import Record

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
NAMES = {signal.SIGINT: "Ctrl-C"}


class TrialInterrupted(KeyboardInterrupt):
    """The run was asked to end; `status` is its exit status, as shells report a signal."""

    def __init__(self, record: Record | None, status: int) -> None:
        super().__init__()
        self.record = record
        self.records: tuple[Record, ...] = () if record is None else (record,)  # of all trials that ran
        self.status = status


class Interruption:
    """A context manager; `signum` is the first signal that came within it, None while there was none."""

    def __init__(self) -> None:
        self.signum: int | None = None
        self.fd: int | None = None  # readable once a signal came
        self._before: dict[int, Any] = {}
        self._write: int | None = None
        self._wakeup = -1

    def __enter__(self) -> "Interruption":
        """Take over the signals, save those that this process was started to ignore (nohup)."""
        if threading.current_thread() is not threading.main_thread():
            return self  # only the main thread may; Python raises KeyboardInterrupt there as ever
        self.fd, self._write = os.pipe()
        os.set_blocking(self._write, False)
        self._wakeup = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for number in ENDING:
            before = signal.getsignal(number)
            if before is not signal.SIG_IGN:
                self._before[number] = before
                signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for (
            number,
            before,
        ) in self._before.items():  # once asked to end, a second Ctrl-C must not cut that short
            signal.signal(number, before if self.signum is None else signal.SIG_IGN)
        if self.fd is not None and self._write is not None:
            signal.set_wakeup_fd(self._wakeup)
            for descriptor in (self.fd, self._write):
                with contextlib.suppress(OSError):
                    os.close(descriptor)
        self.fd = self._write = None

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signum is None:
            self.signum = number

    def raised(self, record: Record | None) -> "TrialInterrupted":
        """The exception that says what came, with what a trial had measured until then."""
        return TrialInterrupted(record, 128 + (self.signum or signal.SIGINT))

    @property
    def name(self) -> str:
        """How a record names what came."""
        number = signal.Signals(self.signum or signal.SIGINT)
        return NAMES.get(number, number.name)
