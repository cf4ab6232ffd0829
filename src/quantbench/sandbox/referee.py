"""Runs the tests outside the box, against a proxy of the program's function; started by launch.py.

A light interpreter: descriptor 0 is the socket to the pool, argv names the socket to the zygote. For each
job it has the zygote start a child, sends it the program, runs `check(proxy)` here, has the child killed,
and reports. Each call of the proxy goes into the box as data and comes back as data, so the verdict is
made of plain values in a process that never ran model code. Helpers that the tests use come from the
prompt. The test code is trusted as far as its author; it still runs under Landlock, without writing.
"""

import functools
import json
import os
import random
import signal
import socket
import sys
import time
from types import CodeType
from typing import Any

from quantbench.sandbox.inside import confine
from quantbench.sandbox.inside.channel import Channel, Closed, Late
from quantbench.sandbox.inside.runner import BROKEN, OUT_OF_MEMORY_STATUS, RAISED, READY
from quantbench.sandbox.inside.values import (
    Malformed,
    ProgramStopped,
    describe,
    pack,
    rebuild_error,
    unpack,
)
from quantbench.sandbox.inside.zygote import END, START

SETUP_S = 20.0
PASSED, FAILED, TIMED_OUT = "passed", "failed", "timed_out"
OUT_OF_MEMORY, CRASHED, FORBIDDEN, BROKEN_BOX = "out_of_memory", "crashed", "forbidden", "broken_box"


class Gone(BaseException):
    """The program's process ended, ran late or broke the protocol: no test may go on."""


def main() -> None:
    """Serve jobs until the pool closes the socket."""
    settings = json.loads(sys.argv[1])
    pool = Channel(os.dup(0))
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    zygote = Zygote(socket.socket(fileno=settings["zygote_fd"]))
    sys.path[:] = [path for path in sys.path if path != settings["package_root"]]
    if settings["readable"]:
        confine.die_with_parent()
        confine.restrict_files(confine.reading_rules([*settings["readable"]]))
    while True:
        try:
            job, number = pool.receive()
        except Closed:
            return
        pool.send(referee(job, zygote, settings["cpu_s"]), number)


class Zygote:
    """The referee's end of the zygote's socket."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._reports = control.makefile("rb")
        self._owed = 0

    def start(self) -> "Box":
        """A fresh confined child; Gone if it cannot be confined."""
        ours, theirs = socket.socketpair()
        with theirs:
            socket.send_fds(self._control, [START], [theirs.fileno()])
        ours.setblocking(False)
        return Box(ours)

    def end(self) -> None:
        """Have the child killed; how it ended is not waited for."""
        self._control.sendall(END)
        self._owed += 1

    def report(self) -> dict[str, Any]:
        """How the last child ended: its status (negative: by a signal) and its CPU seconds."""
        self.end()
        while self._owed:
            line = self._reports.readline()
            self._owed -= 1
        report: dict[str, Any] = json.loads(line)
        return report


class Box:
    """One child: the program's function as calls, under one deadline."""

    def __init__(self, data: socket.socket) -> None:
        self._data = data
        self._channel = Channel(data.fileno())
        self._number = 0
        self._deadline = time.monotonic() + SETUP_S
        self.calls = 0
        self.end: str | None = None  # how the channel ended, if it did
        self.forbidden = False  # the last exception was one of missing rights
        self.out_of_memory = False

    def confined(self) -> None:
        """Wait until the child has given up its rights; Gone with the reason if it could not."""
        kind, reason = self._receive()
        if kind == BROKEN:
            self.end = BROKEN_BOX
            raise Gone(reason)

    def load(self, source: str, entry_point: str, wall_s: float) -> None:
        """Define the program; raises what it raised."""
        self._deadline = time.monotonic() + wall_s
        kind, content = self._ask([source, entry_point])
        if kind != READY:
            raise self._error(content)

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """The proxy of the program's function."""
        kind, content = self._ask([pack(list(args)), pack(kwargs)])
        self.calls += 1
        if kind == RAISED:
            raise self._error(content)
        try:
            return unpack(content)
        except Malformed as error:
            raise self._broke(error) from None

    def close(self) -> None:
        self._data.close()

    def _ask(self, message: Any) -> tuple[str, Any]:
        if self.end is not None:
            raise Gone(self.end)
        self._number += 1
        try:
            self._channel.send(message, self._number, self._deadline)
        except Late as error:
            self.end = TIMED_OUT
            raise Gone("time is up") from error
        except Closed:
            pass  # it may have answered before it ended; receiving tells
        return self._receive()

    def _receive(self) -> tuple[str, Any]:
        try:
            answer, number = self._channel.receive(self._deadline)
            if number != self._number or not isinstance(answer, list) or len(answer) != 2:
                raise Malformed("a reply has a wrong number or form")
            return answer[0], answer[1]
        except Malformed as error:
            raise self._broke(error) from None
        except Late:
            self.end = TIMED_OUT
            raise Gone("time is up") from None
        except Closed:
            self.end = CRASHED
            raise Gone("the process ended") from None

    def _broke(self, error: Malformed) -> Gone:
        self.end = FORBIDDEN
        return Gone(str(error))

    def _error(self, content: Any) -> BaseException:
        try:
            name, text = content
            error = rebuild_error(name, text)
        except (Malformed, TypeError, ValueError):
            return self._broke(Malformed("a reply holds a damaged exception"))
        self.forbidden = isinstance(error, PermissionError)
        self.out_of_memory = isinstance(error, MemoryError)
        return error


def referee(job: dict[str, Any], zygote: Zygote, cpu_s: float) -> dict[str, Any]:
    """The verdict on one program: outcome, detail, wall and CPU seconds."""
    box = zygote.start()
    started = time.monotonic()
    try:
        outcome, detail = _judge(job, box)
    finally:
        box.close()
    wall_s = time.monotonic() - started
    if box.end in (CRASHED, TIMED_OUT):
        report = zygote.report()
        outcome, detail = _ending(box.end, report, cpu_s)
        return {"outcome": outcome, "detail": detail, "wall_s": wall_s, "cpu_s": report["cpu_s"]}
    zygote.end()
    return {"outcome": outcome, "detail": detail, "wall_s": wall_s, "cpu_s": None}


def _judge(job: dict[str, Any], box: Box) -> tuple[str, str]:
    try:
        check = _define_tests(job["prompt"], job["test"], job["entry_point"], box)
        box.confined()
        box.load(job["source"], job["entry_point"], job["wall_s"])
        check(box.call)
    except Gone as gone:
        return box.end or CRASHED, str(gone)
    except BaseException as error:  # the program's exception, a failed assertion, or a defect of the test
        return _failure(box, error)
    if box.end is not None:
        return box.end, "the test went on without the program"
    if box.calls == 0:
        return FAILED, "the test never called the program"
    return PASSED, ""


def _failure(box: Box, error: BaseException) -> tuple[str, str]:
    if box.end is not None:
        return box.end, ""
    name, text = ("", str(error)) if isinstance(error, ProgramStopped) else describe(error)
    detail = f"{name}: {text}" if name and text else name or text
    if box.out_of_memory and isinstance(error, MemoryError):
        return OUT_OF_MEMORY, detail
    if box.forbidden and isinstance(error, PermissionError):
        return FORBIDDEN, detail
    return FAILED, detail


def _ending(end: str, report: dict[str, Any], cpu_s: float) -> tuple[str, str]:
    """What the status of a process that did not answer says."""
    status, used = report["status"], report["cpu_s"]
    if end == TIMED_OUT:
        return TIMED_OUT, f"no answer in time; {used:.1f} s of CPU used"
    if status == -signal.SIGKILL and used >= 0.9 * cpu_s:
        return TIMED_OUT, f"{used:.1f} s of CPU used"
    if status == OUT_OF_MEMORY_STATUS:
        return OUT_OF_MEMORY, "memory was used up"
    if status == -signal.SIGSYS:
        return FORBIDDEN, "a call of another architecture"
    if status is not None and status < 0:
        return CRASHED, f"ended by {signal.Signals(-status).name}"
    return CRASHED, f"ended with status {status} before it answered"


def _define_tests(prompt: str, test: str, entry_point: str, box: Box) -> Any:
    """`check`, defined after the prompt's helpers, with the proxy under the function's own name too."""
    namespace: dict[str, Any] = {}
    helpers, tests = _compiled(prompt, test)
    random.seed(0)
    if helpers is not None:
        exec(helpers, namespace)
    namespace[entry_point] = box.call
    exec(tests, namespace)
    random.seed(0)
    return namespace["check"]


@functools.lru_cache(maxsize=1024)
def _compiled(prompt: str, test: str) -> tuple[CodeType | None, CodeType]:
    """The prompt (its last function may lack a body) and the tests."""
    for ending in ("", "\n    pass\n", "\n        pass\n"):
        try:
            return compile(prompt + ending, "<prompt>", "exec"), compile(test, "<test>", "exec")
        except SyntaxError:
            continue
    return None, compile(test, "<test>", "exec")


if __name__ == "__main__":
    main()
