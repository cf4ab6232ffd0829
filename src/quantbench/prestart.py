"""Begins the process that trials are forked from, before the command line is read: its imports take seconds.

Nothing but the standard library is imported here. Whoever needs the process takes it; it ends with this one.
"""

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO

SERVER = (sys.executable, "-m", "quantbench.executors.forkserver")
RUN = "run"
NO_RUN = frozenset(("-h", "--help", "--dry-run", "--dry_run"))


@dataclass(frozen=True, slots=True)
class Begun:
    """A process that imports, the socket to it, and what it writes to its standard error."""

    process: "subprocess.Popen[bytes]"
    connection: socket.socket
    errors: IO[bytes]


_early: list[Begun] = []


def begin(environment: Mapping[str, str], command: Sequence[str] = SERVER) -> Begun:
    """Start it; `environment` is added to that of this process."""
    ours, theirs = socket.socketpair()
    errors = tempfile.TemporaryFile()  # noqa: SIM115 (whoever takes it closes it)
    with theirs:
        process = subprocess.Popen(
            [*command, str(theirs.fileno()), str(os.getpid())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,
            env=os.environ | dict(environment),
            pass_fds=[theirs.fileno()],
        )
    return Begun(process, ours, errors)


def begin_early(arguments: Sequence[str]) -> None:
    """Start it where the command is a run; `end_early` ends it where nothing is measured."""
    if sys.platform == "linux" and arguments[:1] == [RUN] and not NO_RUN & set(arguments):
        _early.append(begin({}))


def take_early() -> Begun | None:
    """What `begin_early` has started, once."""
    return _early.pop() if _early else None


def end_early() -> None:
    """End what `begin_early` has started and nobody has taken."""
    if begun := take_early():
        begun.process.kill()
        begun.process.wait()
