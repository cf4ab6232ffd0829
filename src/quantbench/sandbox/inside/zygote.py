"""A warmed interpreter that forks one confined child for each program; started by launch.py.

Descriptor 0 is the socket to the referee. It sends one byte with a descriptor to start a child that
serves on it, and another to end that child; this process answers how the child ended. When the socket
closes, the child and this process end.
"""

import gc
import json
import os
import signal
import socket
import sys
from dataclasses import dataclass
from typing import Any

from quantbench.sandbox.inside import confine, landlock, seccomp
from quantbench.sandbox.inside.channel import Channel
from quantbench.sandbox.inside.limits import Limits
from quantbench.sandbox.inside.runner import BROKEN, CONFINED, serve

START, END = b"s", b"e"
DATA_FD = 3
WARM = (
    "bisect",
    "cmath",
    "collections",
    "copy",
    "dataclasses",
    "datetime",
    "decimal",
    "fractions",
    "functools",
    "hashlib",
    "heapq",
    "itertools",
    "json",
    "math",
    "operator",
    "random",
    "re",
    "statistics",
    "string",
    "typing",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Confinement:
    """What each child of this zygote gives up; without `filter` it gives up nothing but CPU time."""

    limits: Limits
    namespaces: bool  # bubblewrap is around this process
    landlock: bool
    nobody: bool  # the child changes from root to uid 65534
    filter: bytes  # seccomp


def main() -> None:
    """Read the settings from argv, confine, and serve the referee until it is gone."""
    settings = json.loads(sys.argv[1])
    control = take_standard_input()  # errors still reach whoever started this
    for name in WARM:
        __import__(name)
    sys.path.remove(settings["package_root"])
    confinement = _confine_zygote(settings)
    os.dup2(0, 2)
    sys.argv[:], sys.orig_argv[:] = [""], [""]
    gc.collect()
    gc.freeze()
    gc.disable()
    Zygote(control, confinement).run()


def take_standard_input() -> socket.socket:
    """The socket on descriptor 0, moved away; standard input and output become /dev/null."""
    taken = socket.socket(fileno=os.dup(0))
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1):
        os.dup2(null, standard)
    os.close(null)
    return taken


def _confine_zygote(settings: dict[str, Any]) -> Confinement:
    """Landlock alone starts here, so that this process is held by it as well; namespaces start in a child."""
    if sys.platform == "linux":
        confine.die_with_parent()
    root = os.geteuid() == 0
    namespaces = settings["namespaces"]
    if settings["contained"] and not namespaces:
        if root:
            confine.become_nobody(keep_file_access=settings["keep_file_access"])
            confine.die_with_parent()
        confine.restrict_files(confine.reading_rules(settings["readable"]))
    return Confinement(
        limits=Limits(**settings["limits"]),
        namespaces=namespaces,
        landlock=settings["landlock"],
        nobody=root and namespaces,
        filter=_filter(namespaces) if settings["contained"] else b"",
    )


def _filter(scratch: bool) -> bytes:
    return seccomp.build_filter(seccomp.MACHINES[os.uname().machine], scratch=scratch)


class Zygote:
    """Forks children one at a time and reports how each ended."""

    def __init__(self, control: socket.socket, confinement: Confinement) -> None:
        self._control = control
        self._confinement = confinement
        self._child: int | None = None
        self._self = os.pidfd_open(os.getpid()) if confinement.namespaces else None

    def run(self) -> None:
        """Until the referee is gone."""
        while True:
            command, descriptors, _, _ = socket.recv_fds(self._control, 1, 1)
            if command == START and descriptors:
                self._start(descriptors[0])
            elif command == END:
                self._control.sendall(json.dumps(self._end()).encode() + b"\n")
            else:
                self._end()
                return

    def _start(self, data: int) -> None:
        self._end()
        if self._self is not None:
            confine.next_child_in_new_pid_namespace(None)
        self._child = os.fork()
        if self._child == 0:
            try:
                self._be_child(data)
            finally:
                os._exit(1)
        os.close(data)
        if self._self is not None:
            confine.next_child_in_new_pid_namespace(self._self)

    def _end(self) -> dict[str, Any]:
        """Kill the child if there is one; its status, CPU seconds and peak of resident bytes.

        It is not yet reaped, so its id belongs to no one else.
        """
        if self._child is None:
            return {"status": None, "cpu_s": 0.0, "peak_bytes": 0}
        os.kill(self._child, signal.SIGKILL)
        _, status, usage = os.wait4(self._child, 0)
        self._child = None
        return {
            "status": os.waitstatus_to_exitcode(status),
            "cpu_s": usage.ru_utime + usage.ru_stime,
            "peak_bytes": usage.ru_maxrss * 1024,
        }

    def _be_child(self, data: int) -> None:
        os.dup2(data, DATA_FD, inheritable=False)
        os.closerange(DATA_FD + 1, 1 << 20)
        channel = Channel(DATA_FD)
        try:
            confine_child(self._confinement)
        except Exception as error:
            channel.send([BROKEN, f"{type(error).__name__}: {error}"], 0)
            return
        channel.send([CONFINED, None], 0)
        serve(channel)


def confine_child(confinement: Confinement) -> None:
    """Everything a child gives up before it sees a program."""
    if not confinement.filter:
        confine.limit_cpu(confinement.limits)
        return
    rules = confine.reading_rules(["/"])
    if confinement.namespaces:
        confine.enter_namespaces(confinement.limits)
        if confinement.nobody:
            confine.become_nobody(keep_file_access=False)
        confine.drop_capabilities()
        rules.append(landlock.Rule(path="/tmp", rights=landlock.SCRATCH))
    confine.die_with_parent()
    if confinement.landlock:
        confine.restrict_files(rules)
    confine.set_limits(confinement.limits)
    confine.restrict_calls(confinement.filter)
