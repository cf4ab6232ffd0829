"""Instances of classes that a prompt defines: what they hold; and which of Python's classes have names."""

import datetime
import decimal
import sys
import types
import uuid
from collections import ChainMap, Counter, OrderedDict, UserDict, UserList, UserString, defaultdict, deque
from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any

from quantbench.sandbox.inside.kinds import Malformed, Opaque

# Classes that may be named to the tests: to make one of them out of plain values does nothing else.
_CLASSES = (
    *(bool, int, float, complex, str, bytes, bytearray, list, tuple, dict, set, frozenset, range, slice),
    *(object, type(None), types.SimpleNamespace, enumerate, zip, map, filter, reversed),
    *(datetime.date, datetime.datetime, datetime.time, datetime.timedelta, datetime.timezone),
    *(decimal.Decimal, Fraction, uuid.UUID, Counter, OrderedDict, defaultdict, deque, ChainMap),
    *(UserDict, UserList, UserString),
)
_NAMED = {(kind.__module__, kind.__qualname__): kind for kind in _CLASSES}


def class_of_python(module: Any, name: Any) -> type | None:
    """The harmless class of this name."""
    return _NAMED.get((module, name)) if isinstance(module, str) and isinstance(name, str) else None


def class_under(kind: type, name: str) -> bool:
    """Whether a class was made by the code that calls it so, and not imported from the standard library."""
    module = sys.modules.get(kind.__module__)
    first = name.partition(".")[0]
    return module is None or vars(module).get(first) is not kind


def state_of(value: Any) -> list[tuple[str, Any]]:
    """Its attributes, from its dictionary and its slots."""
    pairs = list(getattr(value, "__dict__", {}).items())
    for name in _slots(type(value)):
        try:
            pairs.append((name, object.__getattribute__(value, name)))
        except AttributeError:
            continue  # it was never set
    return pairs


def fill_state(value: Any, pairs: Iterable[tuple[Any, Any]], is_remote: Callable[[Any], bool]) -> None:
    """Make it hold these attributes alone; functions of the box never stand in for methods.

    A value of an unknown class has no methods at all.
    """
    unknown = type(value) is Opaque
    slots = set(_slots(type(value)))
    attributes = getattr(value, "__dict__", None)
    kept = {name: held for name, held in (attributes or {}).items() if name == "_kind"}
    if attributes is not None:
        attributes.clear()
        attributes.update(kept)
    for name, held in pairs:
        if not isinstance(name, str):
            raise Malformed("a reply holds an instance with a wrong attribute")
        if is_remote(held) and (unknown or hasattr(type(value), name)):
            continue
        if name in slots:
            object.__setattr__(value, name, held)
        elif attributes is not None and name not in kept:
            attributes[name] = held


def _slots(kind: type) -> list[str]:
    names: list[str] = []
    for base in kind.__mro__:
        slots = vars(base).get("__slots__", ())
        names += [slots] if isinstance(slots, str) else list(slots)
    return [name for name in names if name not in ("__dict__", "__weakref__")]
