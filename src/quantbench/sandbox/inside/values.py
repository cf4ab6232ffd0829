"""Values as data between the box and the tests: tagged JSON, never pickle.

What comes out of the box is rebuilt from plain parts: numbers, text, dates (leaves.py), containers of
them (kinds.py), and by reference what the other side keeps: functions, iterators (peer.py). A subclass that
nobody outside knows becomes its base, and anything else becomes an `Opaque`, which equals nothing. So no
object that a program made takes part in a comparison.

Values that can change (lists, dicts, instances, ...) are numbered in the order in which they are met, the
same on both sides: a value met again travels as its number, so that what is one object stays one, and the
same numbers say later which argument a call has changed.

Limits: 64 MiB a message, 900 levels, integers and decimals of 2 million bits, 2 s for the items of one set or
dict (which may all collide).
"""

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from quantbench.sandbox.inside import kinds, leaves
from quantbench.sandbox.inside.kinds import Container, Opaque
from quantbench.sandbox.inside.kinds import Malformed as Malformed

MAX_BYTES = 64 << 20
MAX_DEPTH = 900
PLAIN_INT_BITS = 1024  # larger ones travel in hexadecimal, which is read in linear time
PLAIN_INT = 1 << PLAIN_INT_BITS
RECURSION = 20_000  # Python frames while a deep value is packed or rebuilt; 900 levels take about 4 each

Tagged = list[Any]  # tag, content, and what else the kind has


class Others(Protocol):
    """Packs and rebuilds what has no plain parts: functions, classes, instances, iterators, exceptions."""

    def pack_other(self, value: Any, packer: "Packer", depth: int) -> Tagged: ...

    def unpack_other(self, data: Tagged, unpacker: "Unpacker", depth: int) -> Any: ...

    def defined(self, name: str) -> Any:
        """What the prompt (or in the box the program) calls by this name; None if nothing."""


def encode(message: Any) -> bytes:
    """A message of packed values as bytes."""
    with deep():
        return json.dumps(message, separators=(",", ":")).encode()


def decode(data: bytes) -> Any:
    """The message of these bytes; Malformed for anything that is not JSON."""
    try:
        with deep():
            return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Malformed("a reply is not JSON") from error


@contextmanager
def deep() -> Iterator[None]:
    """Recurse further than the program or the test may; their own limit is put back."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, RECURSION))
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)


class Packer:
    """Packs the values of one call; `objects` are those that both sides have numbered already."""

    def __init__(self, others: Others, objects: Iterable[Any] = ()) -> None:
        self.objects = list(objects)
        self._others = others
        self._numbers = {id(value): number for number, value in enumerate(self.objects)}

    def pack(self, value: Any, depth: int = MAX_DEPTH) -> Any:
        """A value as JSON: itself if it is None, a bool, a float, text or a small int, else tagged."""
        kind = type(value)
        if kind in _AS_THEY_ARE or (kind is int and -PLAIN_INT < value < PLAIN_INT):
            return value
        number = self._numbers.get(id(value))
        if number is not None:
            return ["same", number]
        if depth == 0:
            return ["opaque", kind.__name__]
        packer = _PACKERS.get(kind) or _packer_of(kind)
        if packer is None:
            return self._others.pack_other(value, self, depth - 1)
        return packer(self, value, depth - 1)

    def items(self, items: Iterable[Any], depth: int) -> list[Any]:
        """Each of them packed."""
        pack = self.pack
        return [item if type(item) in _AS_THEY_ARE else pack(item, depth) for item in items]

    def pairs(self, pairs: Iterable[tuple[Any, Any]], depth: int) -> list[Any]:
        """Keys and values packed."""
        return [[self.pack(key, depth), self.pack(value, depth)] for key, value in pairs]

    def number(self, value: Any) -> None:
        """Give a value that can change the next number."""
        self._numbers[id(value)] = len(self.objects)
        self.objects.append(value)

    def contents(self, value: Any, depth: int = MAX_DEPTH) -> list[Any] | None:
        """What a value that can change holds, packed; None if it is of no kind known here."""
        container = container_of(type(value))
        if container is None:
            return None
        return (self.pairs if container.pairs else self.items)(container.read(value), depth)


class Unpacker:
    """Rebuilds the values of one call; `objects` are those that both sides have numbered already."""

    def __init__(self, others: Others, objects: Iterable[Any] = ()) -> None:
        self.objects = list(objects)
        self._others = others

    def unpack(self, data: Any, depth: int = MAX_DEPTH) -> Any:
        """The value that `pack` packed; Malformed for anything else."""
        if not isinstance(data, list):
            if isinstance(data, dict):
                raise Malformed("a reply holds an untagged object")
            return data
        if not 2 <= len(data) <= 5 or depth < 0 or not isinstance(data[0], str):
            raise Malformed("a reply holds an unknown tag")
        try:
            return self._tagged(data, depth - 1)
        except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
            raise Malformed(f"a reply holds a damaged {data[0][:40]}") from error

    def items(self, items: Any, depth: int) -> list[Any]:
        """Each of them rebuilt."""
        if not isinstance(items, list):
            raise Malformed("a reply holds a container without items")
        unpack = self.unpack
        return [item if type(item) in _AS_THEY_ARE else unpack(item, depth) for item in items]

    def pairs(self, pairs: Any, depth: int) -> list[tuple[Any, Any]]:
        """Keys and values rebuilt."""
        return [(self.unpack(key, depth), self.unpack(value, depth)) for key, value in pairs]

    def changes(self, changes: Any) -> Iterator[tuple[Any, Any]]:
        """Each value that the other side has changed, with what it holds now."""
        if not isinstance(changes, list):
            raise Malformed("a reply holds damaged changes")
        for change in changes:
            if not isinstance(change, list) or len(change) != 2:
                raise Malformed("a reply holds a damaged change")
            yield self.objects[_index(change[0], len(self.objects))], change[1]

    def refill(self, value: Any, contents: Any) -> None:
        """Make a numbered value hold what it holds on the other side."""
        container = container_of(type(value))
        if container is None:
            raise Malformed("a reply changes a value that cannot change")
        container.fill(value, (self.pairs if container.pairs else self.items)(contents, MAX_DEPTH))

    def _tagged(self, data: Tagged, depth: int) -> Any:
        tag, content, *extra = data
        if tag == "same":
            return self.objects[_index(content, len(self.objects))]
        if tag in kinds.CONTAINERS:
            container = kinds.CONTAINERS[tag]
            value = container.make(*(self.unpack(part, depth) for part in extra))
            self.objects.append(value)
            container.fill(value, (self.pairs if container.pairs else self.items)(content, depth))
            return value
        if tag == "record":
            return kinds.record(self._others.defined(str(extra[0])), self.items(content, depth), *extra)
        if tag in kinds.FROZEN:
            return kinds.FROZEN[tag].make(self.items(content, depth), *extra)
        if tag in leaves.LEAVES:
            return leaves.LEAVES[tag].rebuild(content)
        return self._others.unpack_other(data, self, depth)


def _index(number: Any, count: int) -> int:
    if type(number) is not int or not 0 <= number < count:
        raise Malformed("a reply names a value by a wrong number")
    return number


def container_of(kind: type) -> Container | None:
    """How values of this class, or of its base, are read and filled if they can change."""
    return next((c for c in kinds.CONTAINERS.values() if issubclass(kind, c.kind)), None)


_AS_THEY_ARE = frozenset({type(None), bool, float, str})
_Pack = Callable[[Packer, Any, int], Any]


def _pack_container(container: Container) -> _Pack:
    def pack(packer: Packer, value: Any, depth: int) -> Tagged:
        packer.number(value)
        extra = [packer.pack(part, depth) for part in container.extra(value)]
        contents = (packer.pairs if container.pairs else packer.items)(container.read(value), depth)
        return [container.tag, contents, *extra]

    return pack


def _pack_frozen(frozen: kinds.Fixed) -> _Pack:
    return lambda packer, value, depth: [
        frozen.tag,
        packer.items(frozen.read(value), depth),
        *frozen.extra(value),
    ]


def _pack_leaf(leaf: leaves.Leaf) -> _Pack:
    return lambda packer, value, depth: [leaf.tag, leaf.parts(value)]


# The first class that fits packs the value.
_BY_CLASS: tuple[tuple[type, _Pack], ...] = (
    *((container.kind, _pack_container(container)) for container in kinds.CONTAINERS.values()),
    *((frozen.kind, _pack_frozen(frozen)) for frozen in kinds.FROZEN.values() if frozen.tag != "record"),
    (int, lambda packer, value, depth: _pack_int(value)),
    (float, lambda packer, value, depth: float.__float__(value)),
    (str, lambda packer, value, depth: str.__str__(value)),
    *((leaf.kind, _pack_leaf(leaf)) for leaf in leaves.LEAVES.values()),
)
_PACKERS: dict[type, _Pack] = dict(reversed(_BY_CLASS))


def _pack_int(value: int) -> Any:
    value = int.__index__(value)
    return value if -PLAIN_INT < value < PLAIN_INT else ["int", hex(value)]


def _packer_of(kind: type) -> _Pack | None:
    """For a subclass; None for a class whose instances are known by its name."""
    if kinds.is_record(kind):
        return _pack_frozen(kinds.FROZEN["record"])
    if kinds.is_for_peers(kind):
        return None
    return next((packer for base, packer in _BY_CLASS if issubclass(kind, base)), None)


class Alone:
    """Without a peer there are no references: iterators become what they yield, the rest is opaque."""

    def pack_other(self, value: Any, packer: Packer, depth: int) -> Tagged:
        if isinstance(value, Iterator):
            return ["list", packer.items(value, depth)]
        return ["opaque", str(getattr(type(value), "__name__", "value"))[:100]]

    def unpack_other(self, data: Tagged, unpacker: Unpacker, depth: int) -> Any:
        if data[0] == "opaque":
            return Opaque(str(data[1])[:100])
        raise Malformed("a reply holds an unknown tag")

    def defined(self, name: str) -> Any:
        return None


def pack(value: Any) -> Any:
    """One value as JSON, without references."""
    with deep():
        return Packer(Alone()).pack(value)


def unpack(data: Any) -> Any:
    """The value that `pack` packed, rebuilt as plain types; Malformed for anything else."""
    with deep():
        return Unpacker(Alone()).unpack(data)
