"""The referee's end of the box: starts a child through the zygote and calls its function as data."""

import json
import socket
import time
from typing import Any

from quantbench.sandbox.inside.channel import Channel, Closed, Late
from quantbench.sandbox.inside.runner import BROKEN, RAISED, READY, VALUE
from quantbench.sandbox.inside.values import Malformed, pack, rebuild_error, unpack
from quantbench.sandbox.inside.zygote import END, START

SETUP_S = 20.0  # for a child to give up its rights, on a machine that is busy with other things
TIMED_OUT, CRASHED, FORBIDDEN, BROKEN_BOX = "timed_out", "crashed", "forbidden", "broken_box"


class Gone(BaseException):
    """The program's process ended, ran late or broke the protocol: no test may go on."""


class Zygote:
    """The zygote's socket. A child's end is asked for at once and waited for only where it is needed."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._reports = control.makefile("rb")
        self._owed = 0

    def start(self) -> "Proxy":
        """A fresh child, on its way to being confined."""
        self._read_reports(leave=1)  # unread ones would fill the socket, and the zygote would wait for ever
        ours, theirs = socket.socketpair()
        with theirs:
            socket.send_fds(self._control, [START], [theirs.fileno()])
        ours.setblocking(False)
        return Proxy(ours)

    def end(self) -> None:
        """Have the child killed."""
        self._control.sendall(END)
        self._owed += 1

    def report(self) -> dict[str, Any]:
        """Have the child killed; its status (negative: by a signal), CPU seconds and peak bytes."""
        self.end()
        report: dict[str, Any] = json.loads(self._read_reports(leave=0))
        return report

    def _read_reports(self, *, leave: int) -> bytes:
        line = b""
        while self._owed > leave:
            line = self._reports.readline()
            self._owed -= 1
        return line


class Proxy:
    """One program's function, called under one deadline; what comes back is plain values."""

    def __init__(self, data: socket.socket) -> None:
        self._data = data
        self._channel = Channel(data.fileno())
        self._number = 0
        self._deadline = time.monotonic() + SETUP_S
        self._last_error: BaseException | None = None
        self.calls = 0
        self.end: str | None = None  # how the channel ended, if it did

    def confined(self) -> None:
        """Wait until the child has given up its rights; Gone with the reason if it could not."""
        kind, reason = self._receive()
        if kind == BROKEN:
            self.end = BROKEN_BOX
            raise Gone(reason)

    def load(self, source: str, entry_point: str, wall_s: float) -> None:
        """Define the program; raises what it raised. All calls must end within `wall_s` from now."""
        self._deadline = time.monotonic() + wall_s
        kind, content = self._ask([source, entry_point])
        if kind != READY:
            raise self._error(content)

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """What the tests get as the candidate."""
        kind, content = self._ask([pack(list(args)), pack(kwargs)])
        self.calls += 1
        if kind == RAISED:
            raise self._error(content)
        try:
            if kind != VALUE:
                raise Malformed("a reply is of an unknown kind")
            return unpack(content)
        except Malformed as error:
            raise self._broke(error) from None

    def raised(self, error: BaseException, kind: type[BaseException]) -> bool:
        """Whether this is the exception that the program raised last, and of this kind."""
        return error is self._last_error and isinstance(error, kind)

    def close(self) -> None:
        self._data.close()

    def _ask(self, message: Any) -> tuple[str, Any]:
        if self.end is not None:
            raise Gone(self.end)
        self._number += 1
        try:
            self._channel.send(message, self._number, self._deadline)
        except Late:
            self.end = TIMED_OUT
            raise Gone("time is up") from None
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
            self._last_error = rebuild_error(name, text)
        except (Malformed, TypeError, ValueError):
            return self._broke(Malformed("a reply holds a damaged exception"))
        return self._last_error
