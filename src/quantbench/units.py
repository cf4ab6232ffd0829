"""Bytes, seconds, lists as people read and write them; the only place where GB (1e9 bytes) and ms exist."""

import re
from collections.abc import Sequence

GB = 1_000_000_000
BYTE_UNITS = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
SECOND_UNITS = {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0}
QUANTITY = re.compile(r"\s*([0-9]{1,15}(?:\.[0-9]{1,15})?)\s*([^\s\d.]*)\s*")


def gigabytes(count: int) -> float:
    """`count` bytes in GB of 1e9 bytes."""
    return count / GB


def show_bytes(count: int) -> str:
    """Bytes with the unit that keeps three figures: `0.99 GB`, `15.8 MB`, `812 B`."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= (size * 0.1 if unit == "GB" else size):
            return f"{count / size:.3g} {unit}"
    return f"{count} B"


def show_seconds(seconds: float) -> str:
    """Seconds with the unit that keeps three figures: `1.23 ms`, `4.5 s`, `3 min 20 s`."""
    if seconds < 0.001:
        return f"{seconds * 1e6:.3g} µs"
    if seconds < 1:
        return f"{seconds * 1e3:.3g} ms"
    if seconds < 120:
        return f"{seconds:.3g} s"
    return f"{int(seconds // 60)} min {int(seconds % 60)} s"


def show_count(count: int) -> str:
    """Parameters in billions or millions: `0.494 B`, `7.3 M`."""
    return f"{count / 1e9:.3g} B" if count >= 1e8 else f"{count / 1e6:.3g} M"


def parse_bytes(text: str) -> int:
    """`2GB`, `512 MiB`, `900 B`; ValueError for anything else, a number without a unit included."""
    return int(_parse(text, BYTE_UNITS))


def parse_seconds(text: str) -> float:
    """`200ms`, `1.5 s`; ValueError for anything else, a number without a unit included."""
    return _parse(text, SECOND_UNITS)


def _parse(text: str, units: dict[str, int] | dict[str, float]) -> float:
    found = QUANTITY.fullmatch(text)
    unit = found.group(2).lower() if found else ""
    if found is None or unit not in units:
        raise ValueError(f"'{text[:40]}' is not a number with one of the units {', '.join(units)}")
    return float(found.group(1)) * units[unit]


def listed(names: Sequence[str], last: str = "and") -> str:
    """`a`, `a and b`, `a, b and c`; nothing for no name."""
    return "".join(names) if len(names) < 2 else f"{', '.join(names[:-1])} {last} {names[-1]}"
