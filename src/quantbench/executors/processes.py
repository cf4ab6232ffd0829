"""A trial's process as the run sees it: forked from a server, watched, ended with all it started."""

import contextlib
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from quantbench.executors import guard
from quantbench.executors.forkserver import ANSWER
from quantbench.prestart import SERVER, Begun, begin, take_early

LOOK_S = 0.2  # between two looks whether the run was asked to end
KILLED_S = 10.0  # longest wait for a killed process that hangs in a driver
Process = subprocess.Popen[bytes]


class TrialProcess:
    """One trial's process; `stdin` takes its job, `stdout` gives its progress."""

    def __init__(self, server: "ForkServer", pid: int, status: int | None = None) -> None:
        self.pid = pid
        self._server, self._status = server, status
        self.stdin: IO[bytes]
        self.stdout: IO[bytes]

    def poll(self) -> int | None:
        """How it ended, as subprocess tells it; None while it runs."""
        return self.wait(0)

    def wait(self, timeout_s: float) -> int | None:
        """`poll`, after it has ended or the time is over."""
        if self._status is None:
            self._status = self._server.status(timeout_s)
        return self._status


class ForkServer:
    """A context manager: the process that trials are forked from, started by `start` or the first trial.

    One that has ended, killed or because it may serve one trial alone, is replaced for the next.
    """

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        """`environment` is added to that of this process."""
        self._environment = environment or {}
        self._process: Process | None = None
        self._connection = socket.socket()
        self._errors: IO[bytes] | None = None
        if not self._environment and (begun := take_early()):
            self._take(begun)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Let it begin to import, which the caller does not wait for."""
        if self._process is not None and self._process.poll() is None:
            return
        self.close()
        self._take(begin(self._environment, SERVER))

    def _take(self, begun: Begun) -> None:
        self._process, self._connection, self._errors = begun.process, begun.connection, begun.errors

    def close(self) -> None:
        """End it, and with it what runs in it."""
        self._connection.close()
        if self._process is not None:
            end(self._process.pid, self._process.wait)
        if self._errors is not None:
            self._errors.close()
        self._process = self._errors = None

    def fork(self, log: IO[bytes], folder: Path, check: Callable[[], None]) -> TrialProcess:
        """A trial's process that waits for its job; one that has ended where the server has.

        `check` is called now and then and may raise, which ends the waiting.
        """
        self.start()
        (job_read, job_write), (news_read, news_write) = os.pipe(), os.pipe()
        try:
            with contextlib.suppress(OSError):
                given = [job_read, news_write, log.fileno()]
                socket.send_fds(self._connection, [os.fsencode(folder)], given)
            while (answer := self._answer(LOOK_S)) is None:
                check()
        except BaseException:
            for descriptor in (job_write, news_read):
                os.close(descriptor)
            raise
        finally:
            for descriptor in (job_read, news_write):
                os.close(descriptor)
        process = self._begun(answer, log)
        process.stdin, process.stdout = os.fdopen(job_write, "wb"), os.fdopen(news_read, "rb")
        return process

    def _begun(self, answer: bytes, log: IO[bytes]) -> TrialProcess:
        assert self._process is not None and self._errors is not None
        if answer:
            return TrialProcess(self, *ANSWER.unpack(answer))
        self._errors.seek(0)
        log.write(self._errors.read())
        return TrialProcess(self, self._process.pid, self._process.wait())

    def status(self, timeout_s: float) -> int | None:
        """How the trial's process ended, None while it runs; where the server was killed, how that ended."""
        assert self._process is not None
        answer = self._answer(timeout_s)
        if answer is None:
            return None
        return int(ANSWER.unpack(answer)[0]) if answer else self._process.wait()

    def _answer(self, timeout_s: float) -> bytes | None:
        """The next answer, empty where the server has ended; None where nothing came in time."""
        if not select.select([self._connection], [], [], timeout_s)[0]:
            return None
        try:
            answer = self._connection.recv(ANSWER.size, socket.MSG_WAITALL)
        except OSError:
            return b""
        return answer if len(answer) == ANSWER.size else b""


@contextmanager
def started(server: ForkServer, log: IO[bytes], check: Callable[[], None]) -> Iterator[TrialProcess]:
    """A trial's process in a session of its own, ended with all that it started when the block is left."""
    folder = Path(tempfile.mkdtemp(prefix="quantbench-"))
    folder.chmod(0o711)  # the sandbox tests itself with a file in it, which only the box may hide
    try:
        with guarded(folder) as watch:
            child = server.fork(log, folder, check)
            try:
                tell(watch, f"{child.pid}\n".encode())
                yield child
            finally:
                end(child.pid, child.wait)
                if (
                    child.poll() is None
                ):  # it hangs in a driver: its server waits for it, the next one does not
                    server.close()
                for pipe in (child.stdin, child.stdout):
                    with contextlib.suppress(OSError):
                        pipe.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def guarded(folder: Path) -> Iterator[Process]:
    """The guard of a temporary folder, see guard.py; told 'done' when the block is left."""
    watch = subprocess.Popen(
        [sys.executable, "-I", "-S", str(guard.__file__), str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield watch
    finally:
        tell(watch, guard.DONE)
        assert watch.stdin is not None
        with contextlib.suppress(OSError):
            watch.stdin.close()
        watch.wait()


def tell(watch: Process, line: bytes) -> None:
    """Send the guard a line; one that was killed is not missed."""
    assert watch.stdin is not None
    with contextlib.suppress(OSError):
        watch.stdin.write(line)
        watch.stdin.flush()


def end(group: int, wait: Callable[[float], int | None]) -> None:
    """Kill a process with its group and wait for its end."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        wait(KILLED_S)
