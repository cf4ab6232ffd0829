"""Damages values, JSON documents and bytes as files and options are damaged, or attacked."""

import copy
import json
from random import Random
from typing import Any

HOSTILE: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    1,
    -1,
    2**31,
    2**63,
    -(2**63) - 1,
    10**30,
    10**400,
    0.0,
    -0.0,
    0.5,
    1e-320,
    1e308,
    float("nan"),
    float("inf"),
    -float("inf"),
    "",
    " ",
    "0",
    "x",
    "none",
    "nan",
    "\x00",
    "\ud800",
    "é\u2028\u202e",
    "../../etc/passwd",
    "a" * 300,
    "[red]" * 20,
    "'\"<script>|`",
    "1e999",
    "a" * 100_000,
    [],
    [1],
    ["a", None],
    [[[[]]]],
    {},
    {"a": 1},
    {"": None},
    [0] * 10_000,
    "2024-01-01",
    "{{ x }}",
)
TEXTS = tuple(value for value in HOSTILE if isinstance(value, str) and "\x00" not in value)
DEEP = (b"[" * 100_000, b'{"a":' * 100_000, b"[" * 5_000 + b"]" * 5_000)


def damage_value(draw: Random, value: Any) -> Any:
    """Another value: hostile, or near the old one."""
    near: list[Any] = [draw.choice(HOSTILE)] * 3
    if isinstance(value, int | float) and not isinstance(value, bool):
        near += [
            -value,
            value * 1000,
            value + 1,
            str(value),
            [value],
            value + 0.5 if abs(value) < 1e300 else 0.5,
        ]
    if isinstance(value, str):
        near += [value + "x", value.upper(), value[: len(value) // 2], [value], value * 3]
    if isinstance(value, list):
        near += [value[:-1], value * 2, value[:1], {"0": value}, [*value, draw.choice(HOSTILE)]]
    if isinstance(value, dict):
        near += [list(value.items()), {**value, "x": draw.choice(HOSTILE)}, value | {"": {}}]
    return draw.choice(near)


def damage_document(draw: Random, document: Any, changes: int = 3) -> Any:
    """A JSON document with one to `changes` values replaced or removed at any depth."""
    result = copy.deepcopy(document)
    for _ in range(draw.randint(1, changes)):
        places = list(places_of(result))
        if not places:
            return draw.choice(HOSTILE)
        holder, key = draw.choice(places)
        if draw.random() < 0.2:
            del holder[key]
        else:
            holder[key] = damage_value(draw, holder[key])
    return result


def places_of(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) of a document."""
    keys = (
        list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    )
    found = [(value, key) for key in keys]
    for key in keys:
        found += places_of(value[key]) if len(found) < 2000 else []
    return found


def damage_bytes(draw: Random, raw: bytes) -> bytes:
    """Bytes as broken downloads, editors and attackers leave them."""
    place = draw.randrange(len(raw) + 1)
    kinds = (
        lambda: raw[:place],
        lambda: raw[:place] + bytes([draw.randrange(256)]) + raw[place + 1 :],
        lambda: raw[:place] + draw.choice(DEEP) + raw[place:],
        lambda: b"\xef\xbb\xbf" + raw,
        lambda: raw.decode(errors="replace").encode("utf-16"),
        lambda: raw[:place] + b"\x00" * draw.randrange(1, 50) + raw[place:],
        lambda: raw + raw,
        lambda: b"",
        lambda: draw.randbytes(200),
        lambda: draw.choice(DEEP),
        lambda: raw.replace(b"\n", b"\r\n"),
        lambda: raw[:place] + b"9" * 6000 + raw[place:],
    )
    return draw.choice(kinds)()


def damaged_json(draw: Random, document: Any) -> bytes:
    """A document damaged as a value, or its text damaged as bytes."""
    if draw.random() < 0.7:
        return dumped(damage_document(draw, document))
    return damage_bytes(draw, dumped(document))


def dumped(document: Any) -> bytes:
    """JSON, lone surrogates escaped, numbers of any length."""
    return (
        json.dumps(document, default=str).encode()
        if not _huge(document)
        else repr(document).encode(errors="replace")
    )


def _huge(document: Any) -> bool:
    """Whether a number is too long for Python to write."""
    try:
        json.dumps(document, default=str)
    except ValueError:
        return True
    return False
