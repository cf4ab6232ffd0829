"""One end of the conversation between tests and box; both ends are alike.

Each message is a request (call a function, take the next items of an iterator) or an answer to one. Who has
sent a request serves the other side's requests until its own answer is there: so a program can call a
function that the test handed to it, and that function the program again. Functions and iterators stay where
they are and travel as numbers; a call's arguments and answer travel as values, and with the answer what the
call changed in its arguments.

What the tests' end may be asked for: to call functions and to advance iterators that the test handed over.
"""

import threading
from collections.abc import Callable, Iterator
from enum import Enum
from itertools import chain, islice
from types import CoroutineType, GeneratorType
from typing import Any

from quantbench.sandbox.inside import failures
from quantbench.sandbox.inside.definitions import are_same, awaitable, named_class, parts_of, run_coroutine
from quantbench.sandbox.inside.instances import fill_state, state_of
from quantbench.sandbox.inside.kinds import Malformed, Opaque
from quantbench.sandbox.inside.values import MAX_DEPTH, Packer, Tagged, Unpacker, container_of, deep

CALL, NEXT = "call", "next"
VALUE, RAISED, ITEMS, READY = "value", "raised", "items", "ready"
ANSWERS = (VALUE, RAISED, ITEMS, READY)
EXACT_ITEMS = 256  # of an iterator, asked for one by one; then ever more at a time
MOST_ITEMS = 1024

Message = list[Any]


class RemoteFunction:
    """A function of the other side: called there."""

    def __init__(self, peer: "Peer", number: int, name: str) -> None:
        self.__name__ = self.__qualname__ = name
        self.__remote__ = (peer, number)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        peer, number = self.__remote__
        return peer.call(number, args, kwargs)

    def __repr__(self) -> str:
        return f"<function {self.__name__}>"


class Peer:
    """What both ends share; `exchange` sends a message and returns the next one."""

    passing: tuple[type[BaseException], ...] = ()  # never answered with, but passed on

    def __init__(self) -> None:
        self._functions: list[Callable[..., Any]] = []
        self._iterators: list[Iterator[Any]] = []
        self._numbers: dict[int, int] = {}
        self._remote: dict[int, RemoteFunction] = {}
        self._talking = threading.RLock()
        self.candidate: Any = None

    def exchange(self, message: Message) -> Message:
        raise NotImplementedError

    def defined(self, name: str) -> Any:
        raise NotImplementedError

    def knows(self, kind: type) -> bool:
        """Whether both sides have this class from the prompt."""
        return self.defined(kind.__qualname__) is kind

    def call(self, number: int | None, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call their function of this number, or the candidate; raises what it raised."""
        packer = Packer(self)
        with deep():
            packed = [packer.items(args, MAX_DEPTH), packer.pairs(kwargs.items(), MAX_DEPTH)]
        kind, content, changes = self._converse([CALL, number, *packed], 3)
        unpacker = Unpacker(self, packer.objects)
        with deep():
            value = unpacker.unpack(content)
            for changed, contents in unpacker.changes(changes):
                self._refill(unpacker, changed, contents)
        if kind == RAISED:
            raise self.caught(value)
        return value

    def caught(self, error: Any) -> BaseException:
        """An exception that came from the other side."""
        if not isinstance(error, BaseException):
            raise Malformed("a reply raises what is no exception")
        return error

    def perform(self, message: Message) -> Message:
        """Serve a request of the other side; the answer."""
        kind, number, *content = message
        if kind == CALL:
            return self._perform_call(number, *content)
        if kind == NEXT:
            return self._perform_next(number, *content)
        raise Malformed("a message is of an unknown kind")

    def _converse(self, message: Message, length: int) -> Message:
        with self._talking:
            reply = self.exchange(message)
            while reply[0] not in ANSWERS:
                reply = self.exchange(self.perform(reply))
        if len(reply) != length:
            raise Malformed("an answer has a wrong form")
        return reply

    def _perform_call(self, number: Any, args: Any, kwargs: Any) -> Message:
        unpacker = Unpacker(self)
        with deep():
            values = unpacker.items(args, MAX_DEPTH)
            names = dict(unpacker.pairs(kwargs, MAX_DEPTH))
        function = self.candidate if number is None else self._functions[number]
        before = [parts_of(value) for value in unpacker.objects]
        kind, value = VALUE, None
        try:
            value = function(*values, **names)
        except self.passing:
            raise
        except BaseException as error:
            error.__traceback__ = None  # frees what may have filled the memory
            kind, value = RAISED, error
        return [kind, *self._pack_answer(value, unpacker.objects, before)]

    def _pack_answer(self, value: Any, objects: list[Any], before: list[list[Any]]) -> list[Any]:
        packer = Packer(self, objects)
        with deep():
            content = packer.pack(value)
            changes = [
                [number, self._contents(packer, changed)]
                for number, (changed, parts) in enumerate(zip(objects, before, strict=True))
                if not are_same(parts, parts_of(changed))
            ]
        return [content, changes]

    def _perform_next(self, number: Any, count: Any) -> Message:
        iterator, items, end = self._iterators[number], [], None
        try:
            for item in islice(iterator, min(count, MOST_ITEMS)):
                items.append(item)
        except self.passing:
            raise
        except BaseException as error:
            end = error
        packer = Packer(self)
        with deep():
            return [ITEMS, packer.items(items, MAX_DEPTH), len(items) < count, packer.pack(end)]

    def _items_of(self, number: int) -> Iterator[Any]:
        """Their iterator, advanced no further than it is read here, at first."""
        read, size = 0, 1
        while True:
            _, packed, ended, error = self._converse([NEXT, number, size], 4)
            unpacker = Unpacker(self)
            with deep():
                items = unpacker.items(packed, MAX_DEPTH)
                failure = unpacker.unpack(error)
            yield from items
            if failure is not None:
                raise self.caught(failure)
            if ended:
                return
            read += len(items)
            size = min(2 * size, MOST_ITEMS) if read >= EXACT_ITEMS else 1

    def pack_other(self, value: Any, packer: Packer, depth: int) -> Tagged:
        """Functions and iterators by number, exceptions and instances by their class's name."""
        kind = type(value)
        if kind is RemoteFunction:
            return ["yours", value.__remote__[1]]
        if value is self.candidate:
            return ["candidate", None]
        if issubclass(kind, BaseException):
            return self._pack_error(value, packer, depth)
        if issubclass(kind, Enum):
            return ["member", value.name, kind.__qualname__, packer.pack(value.value, depth)]
        if issubclass(kind, Iterator):
            self._iterators.append(value)
            return ["iterator", len(self._iterators) - 1, issubclass(kind, GeneratorType)]
        if issubclass(kind, CoroutineType):
            return ["coroutine", self._hand_out(lambda: run_coroutine(value))]
        if callable(value) and not self.knows(kind):
            return self.pack_function(value)
        return self._pack_instance(value, packer, depth)

    def pack_function(self, value: Any) -> Tagged:
        """A function or class: by name where the other side has it too, else by number."""
        name = str(getattr(value, "__qualname__", type(value).__name__))
        if isinstance(value, type) and named_class(value.__module__, name) is value:
            return ["python", value.__module__, name]
        own = name if self.defined(name) is value else ""
        return ["function", self._hand_out(value), name, own]

    def unpack_other(self, data: Tagged, unpacker: Unpacker, depth: int) -> Any:
        """What `pack_other` of the other side packed; Malformed for anything else."""
        tag, content, *extra = data
        if tag == "opaque":
            return Opaque(str(content)[:100])
        if tag == "candidate":
            return self.candidate
        if tag == "yours":
            return self._functions[content]
        if tag == "function":
            return self.find_function(content, *extra)
        if tag == "python":
            return self.find_python(content, *extra)
        if tag == "iterator":
            items = self._items_of(content)
            return items if extra[0] else chain(items)
        if tag == "coroutine":
            return awaitable(RemoteFunction(self, content, "coroutine"))
        if tag == "member":
            return self._member(content, extra[0], unpacker.unpack(extra[1], depth))
        if tag == "error":
            return self._unpack_error(content, *extra, unpacker=unpacker, depth=depth)
        if tag == "object":
            return self._unpack_instance(content, *extra, unpacker=unpacker, depth=depth)
        raise Malformed("a reply holds an unknown tag")

    def find_function(self, number: int, name: str, own: str = "") -> Any:
        """Our own function of that name, or one that stands for theirs; the same one each time."""
        known = self.defined(own) if own else None
        if callable(known):
            return known
        if number not in self._remote:
            self._remote[number] = RemoteFunction(self, number, str(name))
        return self._remote[number]

    def find_python(self, module: str, name: str) -> Any:
        """A class of Python's own."""
        found = named_class(module, name)
        if found is None:
            raise Malformed("a reply names an unknown class")
        return found

    def stand_in(self, name: str) -> type | None:
        """The class that stands for one that is not defined here; None where it may be no class."""
        return None

    def _hand_out(self, function: Callable[..., Any]) -> int:
        if id(function) not in self._numbers:
            self._numbers[id(function)] = len(self._functions)
            self._functions.append(function)
        return self._numbers[id(function)]

    def _pack_error(self, error: BaseException, packer: Packer, depth: int) -> Tagged:
        names = failures.class_names(type(error), self.defined)
        state = {k: v for k, v in vars(error).items() if not callable(v)}
        args = packer.items(error.args, depth)
        return ["error", names, args, packer.pairs(state.items(), depth), failures.describe(error)[1]]

    def _unpack_error(
        self, names: Any, args: Any, state: Any, text: Any, *, unpacker: Any, depth: int
    ) -> Any:
        values = tuple(unpacker.items(args, depth))
        attributes = dict(unpacker.pairs(state, depth))
        return failures.rebuild(names, values, attributes, str(text), self.defined)

    def _pack_instance(self, value: Any, packer: Packer, depth: int) -> Tagged:
        packer.number(value)
        return ["object", packer.pairs(state_of(value), depth), type(value).__qualname__]

    def _unpack_instance(self, pairs: Any, name: Any, *, unpacker: Unpacker, depth: int) -> Any:
        known = self.defined(str(name))
        kind = known if isinstance(known, type) else self.stand_in(str(name))
        value = Opaque(str(name)[:100]) if kind is None else object.__new__(kind)
        unpacker.objects.append(value)
        fill_state(value, unpacker.pairs(pairs, depth), is_remote)
        return value

    def _contents(self, packer: Packer, value: Any) -> Any:
        contents = packer.contents(value)
        return packer.pairs(state_of(value), MAX_DEPTH) if contents is None else contents

    def _refill(self, unpacker: Unpacker, value: Any, contents: Any) -> None:
        try:
            if container_of(type(value)) is not None:
                unpacker.refill(value, contents)
            else:
                fill_state(value, unpacker.pairs(contents, MAX_DEPTH), is_remote)
        except (TypeError, ValueError, LookupError, AttributeError) as error:
            raise Malformed("a reply holds a damaged change") from error

    def _member(self, member: Any, name: Any, value: Any) -> Any:
        known = self.defined(str(name))
        if isinstance(known, type) and issubclass(known, Enum):
            return known[member]
        return (
            value if isinstance(value, int | str) else Opaque(str(name), [("name", member), ("value", value)])
        )


def is_remote(value: Any) -> bool:
    """Whether this is a function of the other side."""
    return type(value) is RemoteFunction
