"""A warmed interpreter that forks one confined child for each program; started by launch.py.

Descriptor 0 is the socket to the referee. It sends one byte with a descriptor to start a child that
serves on it, and another to end that child; this process answers how the child ended. When the socket
closes, the child and this process end.
"""

import gc
import json
import os
import resource
import signal
import socket
import sys
from dataclasses import dataclass
from typing import Any

from quantbench.sandbox.inside import confine, landlock, seccomp
from quantbench.sandbox.inside.channel import Channel
from quantbench.sandbox.inside.runner import BROKEN, CONFINED, serve

START, END = b"s", b"e"
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
DATA_FD = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """How children of this zygote are confined; `mode` is 'bubblewrap', 'landlock' or 'unsafe'."""

    mode: str
    limits: confine.Limits
    nobody: bool  # the child changes from root to uid 65534
    code: bytes  # the seccomp filter


def main() -> None:
    """Read the settings from argv, confine, and serve the referee until it is gone."""
    settings = json.loads(sys.argv[1])
    control = _take_control_socket()
    for name in WARM:
        __import__(name)
    sys.path[:] = [path for path in sys.path if path != settings["package_root"]]
    box = _confine_zygote(settings)
    gc.collect()
    gc.freeze()
    gc.disable()
    Zygote(control, box).run()


def _take_control_socket() -> socket.socket:
    """The socket on descriptor 0, moved away; standard input and outputs become /dev/null."""
    control = socket.socket(fileno=os.dup(0))
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    os.close(null)
    return control


def _confine_zygote(settings: dict[str, Any]) -> Box:
    mode = settings["mode"]
    limits = confine.Limits(**settings["limits"])
    code = b""
    if mode != "unsafe":
        confine.die_with_parent()
        code = seccomp.build_filter(seccomp.MACHINES[os.uname().machine], scratch=mode == "bubblewrap")
    root = os.geteuid() == 0
    if mode == "landlock":
        if root:
            confine.become_nobody(keep_file_access=settings["keep_file_access"])
            confine.die_with_parent()
        confine.restrict_files(confine.reading_rules(settings["readable"]))
    return Box(mode=mode, limits=limits, nobody=root and mode == "bubblewrap", code=code)


class Zygote:
    """Forks children one at a time and reports how each ended."""

    def __init__(self, control: socket.socket, box: Box) -> None:
        self._control = control
        self._box = box
        self._child: int | None = None
        self._self = os.pidfd_open(os.getpid()) if box.mode == "bubblewrap" else None

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
        """Kill the child if there is one; its status and CPU seconds."""
        if self._child is None:
            return {"status": None, "cpu_s": 0.0}
        os.kill(self._child, signal.SIGKILL)
        _, status, usage = os.wait4(self._child, 0)
        self._child = None
        return {"status": os.waitstatus_to_exitcode(status), "cpu_s": usage.ru_utime + usage.ru_stime}

    def _be_child(self, data: int) -> None:
        os.dup2(data, DATA_FD, inheritable=False)
        os.closerange(DATA_FD + 1, 1 << 20)
        channel = Channel(DATA_FD)
        try:
            confine_child(self._box)
        except Exception as error:
            channel.send([BROKEN, f"{type(error).__name__}: {error}"], 0)
            return
        channel.send([CONFINED, None], 0)
        serve(channel)


def confine_child(box: Box) -> None:
    """Everything a child gives up before it sees a program."""
    limits = box.limits
    if box.mode == "unsafe":
        resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu_s, limits.cpu_s))
        return
    if box.mode == "bubblewrap":
        confine.enter_namespaces(limits)
        os.chdir("/tmp")
        if box.nobody:
            confine.become_nobody(keep_file_access=False)
        rules = [*confine.reading_rules(["/"]), landlock.Rule(path="/tmp", rights=landlock.SCRATCH)]
        confine.drop_capabilities()
        confine.die_with_parent()
        confine.restrict_files(rules)
    else:
        os.chdir("/")
        confine.die_with_parent()
        confine.restrict_files(confine.reading_rules(["/"]))
    confine.set_limits(limits)
    confine.restrict_calls(box.code)


if __name__ == "__main__":
    main()
