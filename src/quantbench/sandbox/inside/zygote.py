"""A warmed interpreter that forks one confined child for each program; started by launch.py.

Descriptor 0 is the socket to the referee. It sends one byte with a descriptor to start a child that
serves on it, and another to end that child; this process answers how the child ended. When the socket
closes, the child and this process end.
"""

import contextlib
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import sys
from dataclasses import dataclass
from typing import Any

from quantbench.sandbox.inside import confine, landlock, seccomp
from quantbench.sandbox.inside.channel import Channel
from quantbench.sandbox.inside.limits import Limits
from quantbench.sandbox.inside.runner import BROKEN, CONFINED, serve
from quantbench.sandbox.inside.semaphores import SemLock

START, END = b"s", b"e"
DATA_FD = 3
WARM = (
    "array",
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
    bubblewrap: bool  # it is around this process
    namespaces: bool  # each child gets a pid namespace of its own
    landlock: bool
    uid: int | None  # the child changes from root to this one
    filter: bytes  # seccomp


def main() -> None:
    """Read the settings from argv, confine, and serve the referee until it is gone."""
    settings = json.loads(sys.argv[1])
    control = take_standard_input()  # errors still reach whoever started this
    for name in WARM:
        __import__(name)
    use_what_the_filter_allows()
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
    use_fresh_null(0, 1)
    return taken


def use_fresh_null(*descriptors: int) -> None:
    """Make these descriptors (or 0, 1 and 2) /dev/null, opened anew.

    What a program sets on an open file would be seen by whoever has inherited the same one.
    """
    null = os.open(os.devnull, os.O_RDWR)
    for standard in descriptors or (0, 1, 2):
        os.dup2(null, standard)
    if null > 2:
        os.close(null)


def use_what_the_filter_allows() -> None:
    """Poll instead of epoll, and locks of multiprocessing without shared memory: there is one process."""
    vars(selectors)["DefaultSelector"] = selectors.PollSelector
    with contextlib.suppress(ImportError):
        vars(importlib.import_module("_multiprocessing"))["SemLock"] = SemLock


def _confine_zygote(settings: dict[str, Any]) -> Confinement:
    """Landlock alone starts here, so that this process is held by it as well; namespaces start in a child."""
    if sys.platform == "linux":
        confine.die_with_parent()
        confine.use_one_arena()
    root = os.geteuid() == 0
    bubblewrap = settings["bubblewrap"]
    namespaces = bubblewrap
    if settings["contained"] and not bubblewrap:
        if root:
            confine.become_nobody(settings["uid"], keep_file_access=settings["keep_file_access"])
        namespaces = settings["own_namespaces"] and confine.enter_own_namespaces()
        if namespaces:
            _become_first_process()
        confine.die_with_parent()
        confine.restrict_files(confine.reading_rules(settings["readable"]))
    return Confinement(
        limits=Limits(**settings["limits"]),
        bubblewrap=bubblewrap,
        namespaces=namespaces,
        landlock=settings["landlock"],
        uid=settings["uid"] if root and bubblewrap else None,
        filter=_filter(bubblewrap) if settings["contained"] else b"",
    )


def _become_first_process() -> None:
    """Go on as process 1 of the new pid namespace; the process before only waits for it."""
    child = os.fork()
    if child:
        os.closerange(0, 1 << 16)
        os.waitpid(child, 0)
        os._exit(0)


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
            return {"status": None, "cpu_s": 0.0, "peak_bytes": 0, "preempted": 0}
        os.kill(self._child, signal.SIGKILL)
        _, status, usage = os.wait4(self._child, 0)
        self._child = None
        return {
            "status": os.waitstatus_to_exitcode(status),
            "cpu_s": usage.ru_utime + usage.ru_stime,
            "peak_bytes": usage.ru_maxrss * 1024,
            "preempted": usage.ru_nivcsw + usage.ru_majflt,
        }

    def _be_child(self, data: int) -> None:
        use_fresh_null()
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
    if confinement.bubblewrap:
        confine.enter_namespaces(confinement.limits)
        if confinement.uid is not None:
            confine.become_nobody(confinement.uid, keep_file_access=False)
        rules.append(landlock.Rule(path="/tmp", rights=landlock.SCRATCH))
    if confinement.namespaces:
        confine.drop_capabilities()
    confine.die_with_parent()
    if confinement.landlock:
        confine.restrict_files(rules)
    confine.set_limits(confinement.limits)
    confine.restrict_calls(confinement.filter)
