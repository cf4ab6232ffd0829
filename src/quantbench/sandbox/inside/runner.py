"""The program's side: loads untrusted code in a confined child and answers calls of its function.

Nothing here is trusted: the program can change all of it, and gains nothing, because the expected answers
and the verdict are never in this process.
"""

import gc
import importlib
import os
import random
from collections.abc import Callable
from typing import Any

from quantbench.sandbox.inside.channel import Channel, TooLarge
from quantbench.sandbox.inside.definitions import defined_in, named_class
from quantbench.sandbox.inside.peer import RAISED, READY, Message, Peer
from quantbench.sandbox.inside.values import Packer, Tagged

CONFINED, BROKEN, LOAD = "confined", "broken", "load"
OUT_OF_MEMORY_STATUS = 70
TEST_FOLLOWS = "__test_follows__"  # what stands for the test's first function at the end of a program


def serve(channel: Channel) -> None:
    """Receive a program, define it, and answer calls until this process is killed."""
    gc.enable()
    random.seed(0)
    box = Box(channel)
    message = box.receive()
    while True:
        message = box.exchange(box.perform(message))


class Box(Peer):
    """The program's end of the conversation."""

    def __init__(self, channel: Channel) -> None:
        super().__init__()
        self._channel = channel
        self._number = 0
        self._namespace: dict[str, Any] = {}
        self._shared: frozenset[str] = frozenset()  # classes that the prompt defines
        self._by_reference = False
        self._operated: dict[int, Any] = {}

    def receive(self) -> Message:
        """The tests' next message."""
        message, self._number = self._channel.receive()
        return list(message)

    def exchange(self, message: Message) -> Message:
        """Send a message and wait for the next."""
        try:
            self._channel.send(message, self._number)
        except TooLarge as error:
            self._channel.send([RAISED, self._pack_plain(OverflowError(str(error))), []], self._number)
        except MemoryError:
            os._exit(OUT_OF_MEMORY_STATUS)
        return self.receive()

    def perform(self, message: Message) -> Message:
        """Load the program, or serve a request; what goes wrong on the way is answered as well."""
        try:
            return self._load(*message[1:]) if message[0] == LOAD else super().perform(message)
        except BaseException as error:
            error.__traceback__ = None
            return [RAISED, self._pack_plain(error), []]

    def defined(self, name: str) -> Any:
        """What the program calls by this name."""
        return defined_in(self._namespace, name, self._namespace)

    def stand_in(self, name: str) -> type | None:
        """A bare class for instances of one that only the tests know."""
        return type(name, (), {})

    def find_python(self, module: str, name: str) -> Any:
        """What the standard library calls by this name; the tests' end says what that is."""
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
        return found

    def pack_other(self, value: Any, packer: Packer, depth: int) -> Tagged:
        """An instance of the class under test stays here and is operated from outside."""
        if self._by_reference and issubclass(type(value), self.candidate):
            return ["instance", self._operate(value)]
        return super().pack_other(value, packer, depth)

    def unpack_other(self, data: Tagged, unpacker: Any, depth: int) -> Any:
        if data[0] == "instance":
            return self._operated[data[1]]
        return super().unpack_other(data, unpacker, depth)

    def pack_function(self, value: Any) -> Tagged:
        """A class that the tests do not know may still be called from there."""
        if isinstance(value, type) and named_class(value.__module__, value.__qualname__) is not value:
            return ["function", self._hand_out(value), value.__qualname__, value.__qualname__]
        return super().pack_function(value)

    def knows(self, kind: type) -> bool:
        """Whether the tests have this class from the prompt."""
        return kind.__qualname__ in self._shared and self.defined(kind.__qualname__) is kind

    def _load(self, source: str, entry_point: str, shared: list[str]) -> Message:
        exec(compile(source, "<program>", "exec"), self._namespace)
        if self._namespace.pop(TEST_FOLLOWS, None) is None:
            raise NameError("the program's last line takes the test into a function of its own")
        self.candidate = self._namespace[entry_point]
        self._shared = frozenset(shared)
        self._by_reference = entry_point in shared and isinstance(self.candidate, type)
        return [READY, self._operate(self.candidate) if self._by_reference else None]

    def _operate(self, value: Any) -> int:
        """The number of a function that reads, writes and uses this value for the tests."""
        for number, operated in self._operated.items():
            if operated is value:
                return number

        def operate(operation: str, *args: Any) -> Any:
            if operation in ("getattr", "setattr"):
                return (getattr if operation == "getattr" else setattr)(value, *args)
            use = _USES.get(operation) or getattr(type(value), operation)
            return use(value, *args)

        number = self._hand_out(operate)
        self._operated[number] = value
        return number

    def _pack_plain(self, error: BaseException) -> Tagged:
        """An exception without what may have made it too large or impossible to pack."""
        return [
            "error",
            [["builtins", kind.__name__] for kind in _plain_kinds(error)],
            [],
            [],
            str(error)[:500],
        ]


_USES: dict[str, Callable[..., Any]] = {
    "__bool__": bool,
    "__iter__": iter,
    "__str__": str,
    "__repr__": repr,
    "__len__": len,
}


def _plain_kinds(error: BaseException) -> list[type]:
    return [kind for kind in type(error).__mro__ if kind.__module__ == "builtins"]
