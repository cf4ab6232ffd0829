"""A server of our own: started for one trial, watched, and ended whatever happens.

It stays in the process group of the trial, which the run ends as a whole; on Linux it is also killed when
the process that started it dies. Its output is kept in a file.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from quantbench.errors import ServerError
from quantbench.serving import attached
from quantbench.serving.http import Server
from quantbench.store import make_folder

START_S = 900.0  # that a server may take until it answers
LOOK_S = 0.1
END_S = 10.0  # that a server may take to end by itself
TAIL = 3  # lines of a log that are told


class ServerProcess:
    """A started server and all that it started."""

    def __init__(self, process: "subprocess.Popen[bytes]", name: str, log_file: Path) -> None:
        self._process, self._name, self._log_file = process, name, log_file

    def ended(self) -> str | None:
        """How the server ended, as a sentence; None while it runs."""
        status = self._process.poll()
        if status is None:
            return None
        how = f"ended with status {status}" if status >= 0 else f"was ended by {signal.Signals(-status).name}"
        return f"the server of {self._name} {how}: {last_words(self._log_file)}; its log is {self._log_file}"

    def tree(self) -> list[psutil.Process]:
        """The server's process and those that it started, as far as they run."""
        try:
            first = psutil.Process(self._process.pid)
            return [first, *first.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def end(self) -> None:
        """End the server and all that it started."""
        tree = self.tree()
        for process in tree[:1]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.terminate()
        _, alive = psutil.wait_procs(tree, timeout=END_S)
        for process in alive:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(alive, timeout=END_S)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(END_S)


@contextmanager
def started(
    name: str, command: Sequence[str], log_file: Path, environment: Mapping[str, str]
) -> Iterator[ServerProcess]:
    """The server that a command starts, ended with the block; ServerError where there is no such command."""
    make_folder(log_file.parent)
    wrapped = [sys.executable, "-I", "-S", str(attached.__file__), str(os.getpid()), *command]
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            wrapped,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, **environment},
        )
    server = ServerProcess(process, name, log_file)
    try:
        yield server
    finally:
        server.end()


def wait_ready(process: ServerProcess, server: Server, timeout_s: float = START_S) -> float:
    """Seconds until the server says that it is healthy; ServerError where it ends or never does."""
    start = time.monotonic()
    while time.monotonic() - start < timeout_s:
        if sentence := process.ended():
            raise ServerError(sentence)
        with contextlib.suppress(ServerError):
            server.text("/health")
            return time.monotonic() - start
        time.sleep(LOOK_S)
    raise ServerError(f"the server did not answer within {timeout_s:g} s; look into its log, or give it less")


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def last_words(log_file: Path) -> str:
    """The end of a log in one line: what most probably says why a server ended."""
    try:
        lines = [line.strip() for line in log_file.read_text(errors="replace").splitlines() if line.strip()]
    except OSError:
        return "it left no log"
    telling = [line for line in lines if "error" in line.lower()] or lines
    return " | ".join(telling[-TAIL:])[-400:] or "it wrote nothing"
