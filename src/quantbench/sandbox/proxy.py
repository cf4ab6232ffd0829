"""The referee's end of the box: starts a child through the zygote and calls its function as data."""

import json
import socket
import sys
import time
from collections.abc import Iterator
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

from quantbench.sandbox.inside.channel import Channel, Closed, Late
from quantbench.sandbox.inside.definitions import defined_in
from quantbench.sandbox.inside.peer import RAISED, Message, Peer
from quantbench.sandbox.inside.runner import BROKEN, CONFINED, LOAD
from quantbench.sandbox.inside.values import Malformed, Packer, Tagged, Unpacker
from quantbench.sandbox.inside.zygote import END, START
from quantbench.sandbox.remote import RemoteClass, RemoteInstance

SETUP_S = 20.0  # for a child to give up its rights, on a machine that is busy with other things
TIMED_OUT, CRASHED, FORBIDDEN, BROKEN_BOX = "timed_out", "crashed", "forbidden", "broken_box"
_DAMAGE = (Malformed, TypeError, ValueError, LookupError, AttributeError)


class Gone(BaseException):
    """The program's process ended, ran late or broke the protocol: no test may go on."""


class ZygoteProxy:
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


class Proxy(Peer):
    """One program's function, called under one deadline; what comes back is plain values."""

    passing = (Gone,)

    def __init__(self, data: socket.socket) -> None:
        super().__init__()
        self._data = data
        self._channel = Channel(data.fileno())
        self._number = 0
        self._deadline = time.monotonic() + SETUP_S
        self._last_error: BaseException | None = None
        self._loading = False
        self._prompt: dict[str, Any] = {}
        self._home: dict[str, Any] = {}
        self.calls = 0
        self.end: str | None = None  # how the channel ended, if it did

    def confined(self) -> None:
        """Wait until the child has given up its rights; Gone with the reason if it could not."""
        kind, reason = self._receive()
        if kind == BROKEN:
            self.end = BROKEN_BOX
            raise Gone(reason)
        if kind != CONFINED:
            raise self._broke(Malformed("a reply is of an unknown kind"))

    def load(self, source: str, entry_point: str, wall_s: float, prompt: dict[str, Any]) -> Any:
        """Have the program defined; the candidate, whose first use waits for that.

        All calls must end within `wall_s` from now. `prompt` is what the prompt defines by itself: its
        classes and functions mean the same in the tests as in the program.
        """
        self._deadline = time.monotonic() + wall_s
        self._prompt, self._home = dict(prompt), prompt
        classes = [name for name in prompt if isinstance(self.defined(name), type)]
        by_reference = entry_point in classes
        self._send([LOAD, source, entry_point, classes])
        self._loading = True
        self.candidate = RemoteClass(self, entry_point) if by_reference else self.call_candidate
        return self.candidate

    def loaded(self) -> Any:
        """Wait until the program is defined, once; raises what it raised."""
        if not self._loading:
            return None
        self._loading = False
        kind, content, *_ = self._receive()
        if kind == RAISED:
            raise self.caught(self._checked(lambda: Unpacker(self).unpack(content)))
        if isinstance(self.candidate, RemoteClass) and content is not None:
            self.candidate.operated_by(self.find_function(content, "operate"))
        return None

    def call_candidate(self, *args: Any, **kwargs: Any) -> Any:
        """What the tests get as the candidate."""
        return self.call(None, args, kwargs)

    def call(self, number: int | None, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a function of the program."""
        self.loaded()
        self.calls += 1
        try:
            return super().call(number, args, kwargs)
        except Malformed as error:
            raise self._broke(error) from None

    def raised(self, error: BaseException, kind: type[BaseException]) -> bool:
        """Whether this is the exception that the program raised last, and of this kind."""
        return error is self._last_error and isinstance(error, kind)

    def close(self) -> None:
        self._data.close()

    def exchange(self, message: Message) -> Message:
        """Send a message, wait for the next; Gone if the program ended, is late or breaks the protocol."""
        self._send(message)
        return self._receive()

    def defined(self, name: str) -> Any:
        """What the prompt defines by this name."""
        return defined_in(self._prompt, name, self._home)

    def caught(self, error: Any) -> BaseException:
        self._last_error = self._checked(lambda: super(Proxy, self).caught(error))
        return self._last_error

    def perform(self, message: Message) -> Message:
        return list(self._checked(lambda: super(Proxy, self).perform(message)))

    def pack_other(self, value: Any, packer: Packer, depth: int) -> Tagged:
        if type(value) is RemoteInstance:
            return ["instance", value.operator_number()]
        return super().pack_other(value, packer, depth)

    def pack_function(self, value: Any) -> Tagged:
        """What is Python's own is called inside the box, never here for the program."""
        module, name = _home(value)
        found: Any = sys.modules.get(module)
        for part in name.split("."):
            found = getattr(found, part, None)
        if found is value and module.partition(".")[0] in sys.stdlib_module_names:
            return ["python", module, name]
        return super().pack_function(value)

    def unpack_other(self, data: Tagged, unpacker: Unpacker, depth: int) -> Any:
        if data[0] == "instance":
            return RemoteInstance(self.find_function(data[1], "operate"))
        return super().unpack_other(data, unpacker, depth)

    def find_function(self, number: int, name: str, own: str = "") -> Any:
        if own and isinstance(number, int) and own == getattr(self.candidate, "__name__", None):
            return self.candidate
        return super().find_function(number, name, own)

    def _items_of(self, number: int) -> Iterator[Any]:
        try:
            yield from super()._items_of(number)
        except Malformed as error:
            raise self._broke(error) from None

    def _checked(self, action: Any) -> Any:
        """Damage in what the program sent ends it."""
        try:
            return action()
        except _DAMAGE as error:
            raise self._broke(error) from None

    def _send(self, message: Message) -> None:
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

    def _receive(self) -> Message:
        if self.end is not None:
            raise Gone(self.end)
        try:
            answer, number = self._channel.receive(self._deadline)
            if number != self._number or not isinstance(answer, list) or len(answer) < 2:
                raise Malformed("a reply has a wrong number or form")
            return answer
        except Malformed as error:
            raise self._broke(error) from None
        except Late:
            self.end = TIMED_OUT
            raise Gone("time is up") from None
        except Closed:
            self.end = CRASHED
            raise Gone("the process ended") from None

    def _broke(self, error: Exception) -> Gone:
        self.end = FORBIDDEN
        return Gone(str(error) if isinstance(error, Malformed) else "a reply is damaged")


def _home(value: Any) -> tuple[str, str]:
    """The module and the name that a function or class says it has; empty for what belongs to an object."""
    if isinstance(value, BuiltinFunctionType) and not isinstance(value.__self__, ModuleType | type(None)):
        return "", ""
    if not isinstance(value, FunctionType | BuiltinFunctionType | type) and type(value).__name__ != "ufunc":
        module = getattr(value, "__module__", None)
        return (str(module), str(getattr(value, "__qualname__", ""))) if module else ("", "")
    return str(value.__module__), value.__qualname__
