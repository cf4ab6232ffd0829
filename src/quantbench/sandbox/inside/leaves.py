"""Values that travel and hold no other values: how each is made plain, and rebuilt outside the box.

Everything rebuilt is bounded: what a C function would hold without end (the integer of a huge decimal) is
refused here.
"""

import datetime
import uuid
import zoneinfo
from collections import UserString
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePosixPath
from typing import Any

from quantbench.sandbox.inside.kinds import Malformed

MAX_INT_BITS = 1 << 21
MAX_DIGITS = 1 << 19  # of a decimal, its exponent written out
MAX_RANGE = 1 << 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """`parts` are plain JSON."""

    tag: str
    kind: type
    parts: Callable[[Any], Any]
    rebuild: Callable[[Any], Any]


def _integer(text: str) -> int:
    if len(text) > MAX_INT_BITS // 4:
        raise Malformed(f"a reply holds an integer of more than {MAX_INT_BITS:,} bits")
    return int(text, 16)


def _decimal(text: str) -> Decimal:
    if len(text) > MAX_DIGITS:
        raise Malformed(f"a reply holds a decimal of more than {MAX_DIGITS:,} digits")
    value = Decimal(text)
    if value.is_finite() and abs(value.adjusted()) > MAX_DIGITS:
        raise Malformed(f"a reply holds a decimal of more than {MAX_DIGITS:,} digits")
    return value


def _range(parts: list[str]) -> range:
    value = range(*map(_integer, parts))
    if value and abs(value[-1] - value[0]) // abs(value.step) >= MAX_RANGE:
        raise Malformed(f"a reply holds a range of more than {MAX_RANGE:,} numbers")
    return value


def _zone(value: Any) -> Any:
    """A time zone as its name, or its offset and name, or None."""
    if isinstance(value, zoneinfo.ZoneInfo):
        return str(value.key)
    return [_delta(value.utcoffset(None)), str(value)] if isinstance(value, datetime.timezone) else None


def _rebuild_zone(parts: Any) -> Any:
    if isinstance(parts, str):
        return zoneinfo.ZoneInfo(parts)
    if parts is None:
        return None
    plain = datetime.timezone(_rebuild_delta(parts[0]))
    return plain if str(plain) == parts[1] else datetime.timezone(_rebuild_delta(parts[0]), parts[1])


def _delta(value: Any) -> list[int]:
    return [value.days, value.seconds, value.microseconds]


def _rebuild_delta(parts: list[int]) -> datetime.timedelta:
    return datetime.timedelta(*parts)


def _clock(value: Any) -> list[Any]:
    fields = ("hour", "minute", "second", "microsecond")
    return [*(getattr(value, field) for field in fields), _zone(value.tzinfo), value.fold]


def _rebuild_datetime(parts: list[Any]) -> datetime.datetime:
    year, month, day, *clock = parts
    return datetime.datetime.combine(datetime.date(year, month, day), _rebuild_time(clock))


def _rebuild_time(parts: list[Any]) -> datetime.time:
    hour, minute, second, microsecond, zone, fold = parts
    return datetime.time(hour, minute, second, microsecond, _rebuild_zone(zone), fold=fold)


LEAVES = {
    leaf.tag: leaf
    for leaf in (
        Leaf(tag="int", kind=int, parts=hex, rebuild=_integer),
        Leaf(tag="bytes", kind=bytes, parts=bytes.hex, rebuild=bytes.fromhex),
        Leaf(tag="complex", kind=complex, parts=lambda v: [v.real, v.imag], rebuild=lambda v: complex(*v)),
        Leaf(
            tag="fraction",
            kind=Fraction,
            parts=lambda value: [hex(value.numerator), hex(value.denominator)],
            rebuild=lambda parts: Fraction(*map(_integer, parts)),
        ),
        Leaf(tag="decimal", kind=Decimal, parts=str, rebuild=_decimal),
        Leaf(
            tag="range",
            kind=range,
            parts=lambda value: [hex(value.start), hex(value.stop), hex(value.step)],
            rebuild=_range,
        ),
        Leaf(
            tag="datetime",
            kind=datetime.datetime,
            parts=lambda value: [value.year, value.month, value.day, *_clock(value)],
            rebuild=_rebuild_datetime,
        ),
        Leaf(
            tag="date",
            kind=datetime.date,
            parts=lambda value: [value.year, value.month, value.day],
            rebuild=lambda parts: datetime.date(*parts),
        ),
        Leaf(
            tag="time",
            kind=datetime.time,
            parts=_clock,
            rebuild=_rebuild_time,
        ),
        Leaf(tag="timedelta", kind=datetime.timedelta, parts=_delta, rebuild=_rebuild_delta),
        Leaf(tag="timezone", kind=datetime.timezone, parts=_zone, rebuild=_rebuild_zone),
        Leaf(tag="zoneinfo", kind=zoneinfo.ZoneInfo, parts=_zone, rebuild=_rebuild_zone),
        Leaf(tag="uuid", kind=uuid.UUID, parts=lambda v: v.hex, rebuild=uuid.UUID),
        Leaf(tag="path", kind=PurePosixPath, parts=str, rebuild=PurePosixPath),
        Leaf(tag="userstring", kind=UserString, parts=lambda v: str(v.data), rebuild=UserString),
        Leaf(tag="notimplemented", kind=type(NotImplemented), parts=repr, rebuild=lambda _: NotImplemented),
        Leaf(tag="ellipsis", kind=type(...), parts=repr, rebuild=lambda _: ...),
    )
}
