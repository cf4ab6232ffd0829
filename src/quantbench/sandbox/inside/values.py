"""Values as data between the box and the tests: tagged JSON, never pickle.

What comes out of the box is rebuilt as plain types: numbers, text, bytes, containers of them. A subclass
becomes its base, and anything else becomes an `Opaque`, which equals nothing. So no object that a program
made takes part in a comparison. Limits: 8 MiB a message, 100 levels, 100,000 items of an iterator.
"""

import json
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from fractions import Fraction
from itertools import islice
from typing import Any

MAX_BYTES = 8 << 20
MAX_DEPTH = 100
MAX_ITEMS = 100_000
PLAIN_INT_BITS = 1024  # larger ones travel in hexadecimal, which is read in linear time


class Malformed(Exception):
    """A message that is not what `pack` makes."""


class Opaque:
    """Stands for a value that cannot leave the box; equals nothing but itself."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __repr__(self) -> str:
        return f"<a {self.kind} of the program>"


def encode(message: Any) -> bytes:
    """A message of packed values as bytes."""
    return json.dumps(message, separators=(",", ":")).encode()


def decode(data: bytes) -> Any:
    """The message of these bytes; Malformed for anything that is not JSON."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Malformed("a reply is not JSON") from error


def pack(value: Any, depth: int = MAX_DEPTH) -> Any:
    """A value as JSON: itself if it is None, a bool, a float, text or a small int, else [tag, content]."""
    kind = type(value)
    if kind in _AS_THEY_ARE:
        return value
    if kind is int:
        return value if value.bit_length() <= PLAIN_INT_BITS else ["int", hex(value)]
    if depth == 0:
        return ["opaque", kind.__name__]
    for base, packer in _PACKERS:
        if isinstance(value, base):
            return packer(value, depth - 1)
    return ["opaque", str(getattr(kind, "__name__", "value"))[:100]]


def unpack(data: Any, depth: int = MAX_DEPTH) -> Any:
    """The value that `pack` packed, rebuilt as plain types; Malformed for anything else."""
    if not isinstance(data, list):
        if isinstance(data, dict):
            raise Malformed("a reply holds an untagged object")
        return data
    if len(data) != 2 or depth < 0 or not isinstance(data[0], str) or data[0] not in _UNPACKERS:
        raise Malformed("a reply holds an unknown tag")
    try:
        return _UNPACKERS[data[0]](data[1], depth - 1)
    except (TypeError, ValueError, ArithmeticError, KeyError, AttributeError) as error:
        raise Malformed(f"a reply holds a damaged {data[0]}") from error


_AS_THEY_ARE = frozenset({type(None), bool, float, str})


def _pack_items(items: Iterable[Any], depth: int) -> list[Any]:
    return [item if type(item) in _AS_THEY_ARE else pack(item, depth) for item in items]


def _pack_sequence(tag: str, base: type[Iterable[Any]]) -> Callable[[Any, int], Any]:
    return lambda value, depth: [tag, _pack_items(base.__iter__(value), depth)]


def _pack_dict(value: dict[Any, Any], depth: int) -> Any:
    return ["dict", [[pack(k, depth), pack(v, depth)] for k, v in dict.items(value)]]


def _pack_iterator(value: Iterator[Any], depth: int) -> Any:
    """What an iterator yields, and the exception that ends it if one does."""
    items: list[Any] = []
    try:
        for item in islice(value, MAX_ITEMS + 1):
            items.append(pack(item, depth))
    except Exception as error:
        return ["iterator", [items, describe(error)]]
    return ["opaque", "endless iterator"] if len(items) > MAX_ITEMS else ["iterator", [items, None]]


def describe(error: BaseException) -> list[str]:
    """An exception as [type name, text]; never raises, whatever its __str__ does."""
    try:
        text = str(error)[:500]
    except BaseException:
        text = ""
    return [type(error).__name__[:100], text]


# In this order: the first base that fits packs the value.
_PACKERS: tuple[tuple[type, Callable[[Any, int], Any]], ...] = (
    (list, _pack_sequence("list", list)),
    (tuple, _pack_sequence("tuple", tuple)),
    (dict, _pack_dict),
    (set, _pack_sequence("set", set)),
    (frozenset, _pack_sequence("frozenset", frozenset)),
    (int, lambda value, depth: pack(int.__index__(value), depth)),
    (float, lambda value, depth: float.__float__(value)),
    (str, lambda value, depth: str.__str__(value)),
    (bytes, lambda value, depth: ["bytes", bytes.hex(value)]),
    (bytearray, lambda value, depth: ["bytearray", bytearray.hex(value)]),
    (complex, lambda value, depth: ["complex", [value.real, value.imag]]),
    (Fraction, lambda value, depth: ["fraction", [hex(value.numerator), hex(value.denominator)]]),
    (Decimal, lambda value, depth: ["decimal", str(value)]),
    (range, lambda value, depth: ["range", [hex(value.start), hex(value.stop), hex(value.step)]]),
    (deque, _pack_sequence("deque", deque)),
    (type({}.keys()), lambda value, depth: ["keys", _pack_items(value, depth)]),
    (type({}.values()), lambda value, depth: ["values", _pack_items(value, depth)]),
    (type({}.items()), lambda value, depth: ["items", _pack_items(value, depth)]),
    (type(NotImplemented), lambda value, depth: ["notimplemented", None]),
    (type(...), lambda value, depth: ["ellipsis", None]),
    (Iterator, _pack_iterator),
)


def _unpack_items(items: Any, depth: int) -> list[Any]:
    if not isinstance(items, list):
        raise Malformed("a reply holds a container without items")
    return [unpack(item, depth) for item in items]


def _unpack_set(items: Any, depth: int) -> set[Any]:
    """One by one: items that all collide take time without end, and only between items can one stop."""
    result = set()
    for item in _unpack_items(items, depth):
        result.add(item)
    return result


def _unpack_dict(pairs: Any, depth: int) -> dict[Any, Any]:
    return {unpack(key, depth): unpack(value, depth) for key, value in pairs}


def _unpack_iterator(content: Any, depth: int) -> Iterator[Any]:
    items, error = content
    values = _unpack_items(items, depth)
    return iter(values) if error is None else _failing(values, rebuild_error(*error))


def _failing(values: list[Any], error: BaseException) -> Iterator[Any]:
    yield from values
    raise error


class ProgramStopped(BaseException):
    """The program raised something that is no ordinary exception: SystemExit, KeyboardInterrupt, its own."""


class ProgramError(Exception):
    """The program raised an exception of its own making."""


def rebuild_error(name: str, text: str) -> BaseException:
    """A built-in exception of this name, or a ProgramError; ProgramStopped where it is no Exception."""
    if not isinstance(name, str) or not isinstance(text, str):
        raise Malformed("a reply holds a damaged exception")
    kind = _BUILTIN_ERRORS.get(name)
    if kind is None:
        return ProgramError(f"{name}: {text}")
    if not issubclass(kind, Exception):
        return ProgramStopped(f"{name}: {text}")
    try:
        return kind(text)
    except TypeError:  # UnicodeDecodeError and the like want more arguments
        return ProgramError(f"{name}: {text}")


_BUILTINS = vars(sys.modules["builtins"])
_BUILTIN_ERRORS: dict[str, type[BaseException]] = {
    name: kind
    for name, kind in _BUILTINS.items()
    if isinstance(kind, type) and issubclass(kind, BaseException)
}

_UNPACKERS: dict[str, Callable[[Any, int], Any]] = {
    "list": _unpack_items,
    "tuple": lambda content, depth: tuple(_unpack_items(content, depth)),
    "dict": _unpack_dict,
    "set": _unpack_set,
    "frozenset": lambda content, depth: frozenset(_unpack_set(content, depth)),
    "int": lambda content, depth: int(content, 16),
    "bytes": lambda content, depth: bytes.fromhex(content),
    "bytearray": lambda content, depth: bytearray.fromhex(content),
    "complex": lambda content, depth: complex(*content),
    "fraction": lambda content, depth: Fraction(*(int(part, 16) for part in content)),
    "decimal": lambda content, depth: Decimal(content),
    "range": lambda content, depth: range(*(int(part, 16) for part in content)),
    "deque": lambda content, depth: deque(_unpack_items(content, depth)),
    "keys": lambda content, depth: dict.fromkeys(_unpack_items(content, depth)).keys(),
    "values": lambda content, depth: dict(enumerate(_unpack_items(content, depth))).values(),
    "items": lambda content, depth: dict(_unpack_items(content, depth)).items(),
    "notimplemented": lambda content, depth: NotImplemented,
    "ellipsis": lambda content, depth: ...,
    "iterator": _unpack_iterator,
    "opaque": lambda content, depth: Opaque(str(content)[:100]),
}
