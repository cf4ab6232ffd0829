"""The kinds of values that travel: how each is taken apart, and rebuilt from plain parts outside the box.

CONTAINERS can change and are numbered, FROZEN ones cannot; what holds no other values is in leaves.py.
Subclasses stand before their bases. Everything rebuilt is bounded: what a C function would hold without end
(a set whose items all collide) is refused here.
"""

import array
import keyword
import time
from collections import (
    ChainMap,
    Counter,
    OrderedDict,
    UserDict,
    UserList,
    defaultdict,
    deque,
    namedtuple,
)
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from types import MappingProxyType, SimpleNamespace
from typing import Any

REBUILD_S = 2.0
CHECK_EVERY = 128


class Malformed(Exception):
    """A message that is not what the other side makes of values."""


class Opaque:
    """Stands for a value that cannot leave the box; equals nothing but itself, and keeps plain attributes."""

    def __init__(self, kind: str, attributes: Iterable[tuple[str, Any]] = ()) -> None:
        vars(self).update(attributes)
        vars(self)["_kind"] = kind

    def __repr__(self) -> str:
        return f"<a {vars(self)['_kind']} of the program>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """`read` gives items, or pairs where `pairs` is set; `fill` makes a value hold these and no others."""

    tag: str
    kind: type
    read: Callable[[Any], Iterable[Any]]
    fill: Callable[[Any, list[Any]], None]
    make: Callable[..., Any]
    pairs: bool = False
    extra: Callable[[Any], tuple[Any, ...]] = lambda value: ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fixed:
    """`make` takes the items, and the plain parts that `extra` gave."""

    tag: str
    kind: type
    read: Callable[[Any], Iterable[Any]]
    make: Callable[..., Any]
    extra: Callable[[Any], tuple[Any, ...]] = lambda value: ()


def insert(add: Callable[[Any], object], items: Iterable[Any]) -> None:
    """Add one by one: items that all collide take time without end, which is noticed between them alone."""
    started = time.process_time()
    for number, item in enumerate(items):
        add(item)
        if number % CHECK_EVERY == CHECK_EVERY - 1 and time.process_time() - started > REBUILD_S:
            raise Malformed("a reply holds keys that take too long to tell apart")


def _fill_list(value: Any, items: list[Any]) -> None:
    value[:] = items


def _fill_data(value: Any, items: list[Any]) -> None:
    value.data[:] = items


def _fill_set(value: Any, items: list[Any]) -> None:
    set.clear(value)
    insert(lambda item: set.add(value, item), items)


def _fill_dict(value: Any, pairs: list[Any]) -> None:
    value.clear()
    insert(lambda pair: value.__setitem__(*pair), pairs)


def _fill_deque(value: Any, items: list[Any]) -> None:
    value.clear()
    value.extend(items)


def _fill_namespace(value: Any, pairs: list[Any]) -> None:
    vars(value).clear()
    vars(value).update(vars(SimpleNamespace(**dict(pairs))))


def _fill_chain(value: Any, items: list[Any]) -> None:
    value.maps[:] = items


def _keys(items: Iterable[Any]) -> dict[Any, None]:
    keys: dict[Any, None] = {}
    insert(lambda item: keys.__setitem__(item, None), items)
    return keys


def _mapping(pairs: Iterable[Any]) -> dict[Any, Any]:
    mapping: dict[Any, Any] = {}
    insert(lambda pair: mapping.__setitem__(*pair), pairs)
    return mapping


def _dict(tag: str, kind: Any, **more: Any) -> Container:
    read = kind.items if kind is OrderedDict else dict.items
    return Container(tag=tag, kind=kind, read=read, fill=_fill_dict, make=kind, pairs=True, **more)


def _default_dict(factory: Any) -> Any:
    if factory is not None and not callable(factory):
        raise Malformed("a reply holds a defaultdict without a factory")
    return defaultdict(factory)


CONTAINERS = {
    container.tag: container
    for container in (
        Container(tag="list", kind=list, read=list.__iter__, fill=_fill_list, make=list),
        _dict("counter", Counter),
        _dict("ordereddict", OrderedDict),
        Container(
            tag="defaultdict",
            kind=defaultdict,
            read=dict.items,
            fill=_fill_dict,
            make=_default_dict,
            pairs=True,
            extra=lambda value: (value.default_factory,),
        ),
        _dict("dict", dict),
        Container(tag="set", kind=set, read=set.__iter__, fill=_fill_set, make=set),
        Container(
            tag="array",
            kind=array.array,
            read=iter,
            fill=lambda value, items: value.__setitem__(slice(None), array.array(value.typecode, items)),
            make=array.array,
            extra=lambda value: (value.typecode,),
        ),
        Container(tag="bytearray", kind=bytearray, read=list, fill=_fill_list, make=bytearray),
        Container(
            tag="deque",
            kind=deque,
            read=deque.__iter__,
            fill=_fill_deque,
            make=lambda length: deque(maxlen=length),
            extra=lambda value: (value.maxlen,),
        ),
        Container(tag="userlist", kind=UserList, read=lambda v: v.data, fill=_fill_data, make=UserList),
        Container(
            tag="userdict",
            kind=UserDict,
            read=lambda value: value.data.items(),
            fill=lambda value, pairs: _fill_dict(value.data, pairs),
            make=UserDict,
            pairs=True,
        ),
        Container(tag="chainmap", kind=ChainMap, read=lambda v: v.maps, fill=_fill_chain, make=ChainMap),
        Container(
            tag="namespace",
            kind=SimpleNamespace,
            read=lambda value: vars(value).items(),
            fill=_fill_namespace,
            make=SimpleNamespace,
            pairs=True,
        ),
    )
}


@lru_cache(maxsize=256)
def _record_class(name: str, fields: tuple[str, ...]) -> Any:
    for word in (name, *fields):
        if not (word.isascii() and word.isidentifier()) or keyword.iskeyword(word):
            raise Malformed("a reply holds a record with a wrong name")
    return namedtuple(name, fields)


def record(known: Any, items: list[Any], name: str, fields: list[str]) -> Any:
    """A namedtuple of these fields, of the prompt's own class if that is `known`."""
    if isinstance(known, type) and is_record(known) and list(vars(known).get("_fields", ())) == fields:
        return known._make(items)  # type: ignore[attr-defined]
    return _record_class(str(name), tuple(map(str, fields)))(*items)


def is_record(kind: type) -> bool:
    """Whether a class is a namedtuple's."""
    return issubclass(kind, tuple) and isinstance(getattr(kind, "_fields", None), tuple)


def is_for_peers(kind: type) -> bool:
    """Whether instances are known by the name of their class, though it has a plain base."""
    return issubclass(kind, Enum)


FROZEN = {
    frozen.tag: frozen
    for frozen in (
        Fixed(
            tag="record",
            kind=tuple,
            read=tuple.__iter__,
            make=tuple,
            extra=lambda value: (type(value).__name__, list(type(value)._fields)),
        ),
        Fixed(tag="tuple", kind=tuple, read=tuple.__iter__, make=tuple),
        Fixed(tag="frozenset", kind=frozenset, read=frozenset.__iter__, make=lambda v: frozenset(_keys(v))),
        Fixed(tag="keys", kind=type({}.keys()), read=iter, make=lambda items: _keys(items).keys()),
        Fixed(tag="values", kind=type({}.values()), read=iter, make=lambda v: dict(enumerate(v)).values()),
        Fixed(tag="items", kind=type({}.items()), read=iter, make=lambda pairs: _mapping(pairs).items()),
        Fixed(
            tag="proxy",
            kind=MappingProxyType,
            read=lambda value: dict(value).items(),
            make=lambda pairs: MappingProxyType(_mapping(pairs)),
        ),
        Fixed(
            tag="slice",
            kind=slice,
            read=lambda v: (v.start, v.stop, v.step),
            make=lambda items: slice(*items),
        ),
    )
}
