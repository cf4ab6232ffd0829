"""Values on their way between box and tests: what comes back is plain, and equal to what was sent."""

import array
import datetime
import math
import uuid
import zoneinfo
from collections import (
    ChainMap,
    Counter,
    OrderedDict,
    UserDict,
    UserList,
    UserString,
    deque,
    namedtuple,
)
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePosixPath
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantbench.sandbox.inside import kinds, leaves
from quantbench.sandbox.inside.kinds import Malformed, Opaque
from quantbench.sandbox.inside.values import decode, encode, pack, unpack


def travelled(value: Any) -> Any:
    return unpack(decode(encode(pack(value))))


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
more = st.dates() | st.datetimes() | st.times() | st.timedeltas() | st.fractions() | st.uuids()
keys = st.booleans() | st.integers() | st.text() | st.tuples(st.integers(), st.text()) | st.dates()
values = st.recursive(
    scalars | more | st.sets(keys) | st.frozensets(keys),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(keys, inner),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(values)
def test_a_plain_value_arrives_as_it_was(value: Any) -> None:
    arrived = travelled(value)
    assert arrived == value and type(arrived) is type(value)


EARLY, LATE = datetime.datetime(2024, 10, 27, 2, 30), datetime.timezone(datetime.timedelta(hours=2), "LT")


@pytest.mark.parametrize(
    "value",
    [
        10**5000, -(2**2000), 1 + 2j, Decimal("2.50"), Decimal("-0"), Fraction(7, 3), range(2, 9, 3),
        bytearray(b"ab"), deque([1, 2], 5), {1: "a"}.keys(), {1: "a"}.items(), "\ud800", -0.0, math.inf, ...,
        NotImplemented, OrderedDict(b=1, a=2), Counter("aab"), UserList([1]), UserDict(a=1), UserString("a"),
        MappingProxyType({1: 2}), ChainMap({1: 2}, {3: 4}), SimpleNamespace(a=[1]), slice(1, None, 2),
        array.array("d", [1.5]), EARLY, EARLY.replace(fold=1, tzinfo=LATE), EARLY.date(), EARLY.time(),
        datetime.timedelta(-1, 2, 3), datetime.UTC, LATE, zoneinfo.ZoneInfo("UTC"), uuid.UUID(int=7),
        PurePosixPath("/a/b"),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_other_values_of_python_arrive_as_they_were(value: Any) -> None:
    arrived = travelled(value)
    assert arrived == value and type(arrived) is type(value)


def test_what_equality_does_not_show_arrives_too() -> None:
    assert travelled(deque([1], 3)).maxlen == 3
    assert travelled(EARLY.replace(fold=1)).fold == 1
    assert str(travelled(LATE)) == "LT"
    assert list(travelled(OrderedDict(b=1, a=2))) == ["b", "a"]
    assert travelled(Counter("aab")).most_common(1) == [("a", 2)]
    assert math.isnan(travelled(math.nan)) and math.copysign(1, travelled(-0.0)) == -1


Pair = namedtuple("Pair", "a b")


def test_a_namedtuple_keeps_its_names() -> None:
    arrived = travelled(Pair(1, [2]))
    assert arrived == (1, [2]) and arrived.b == [2] and arrived._asdict() == {"a": 1, "b": [2]}
    assert type(arrived) is not Pair and type(arrived).__name__ == "Pair"


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (type("Own", (int,), {})(7), int), (type("Own", (str,), {})("x"), str),
        (type("Own", (float,), {})(7), float), (type("Own", (dict,), {})(a=7), dict),
        (type("Own", (list,), {})([7]), list), (type("Own", (set,), {})([7]), set),
        (type("Own", (Counter,), {})([7]), Counter),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_an_instance_of_a_subclass_becomes_its_base(value: Any, kind: type) -> None:
    arrived = travelled(value)
    assert type(arrived) is kind and arrived == value


def test_an_object_equals_nothing() -> None:
    class Equal:
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = None  # type: ignore[assignment]

    arrived = travelled(Equal())
    assert isinstance(arrived, Opaque) and arrived != 1 and arrived != Equal.__name__


def test_one_object_stays_one() -> None:
    row = [0]
    arrived = travelled([row, row, (row,)])
    assert arrived[0] is arrived[1] is arrived[2][0]


def test_a_value_that_holds_itself_arrives_as_such() -> None:
    loop: list[Any] = [1]
    loop.append({"inside": loop})
    arrived = travelled(loop)
    assert arrived[1]["inside"] is arrived


def test_shared_parts_travel_once() -> None:
    nested: list[Any] = ["x"]
    for _ in range(40):
        nested = [nested] * 10
    assert len(encode(pack(nested))) < 10_000


def test_values_nested_hundreds_of_levels_deep_arrive() -> None:
    nested: Any = ()
    for _ in range(400):
        nested = [(nested,)]
    depth = 0
    arrived = travelled(nested)
    while arrived:
        arrived, depth = arrived[0], depth + 1
    assert depth == 800


@pytest.mark.parametrize(
    "message",
    [
        {"a": 1}, ["eval", "1"], ["list", 7], ["list"], ["list", [], [], [], [], []], [["list"], []],
        ["set", [["list", []]]], ["int", "x"], ["int", 7], ["fraction", ["0x1", "0x0"]],
        ["range", ["0x0", "0x1", "0x0"]], ["dict", [[1]]], ["keys", [["list", []]]], ["items", [1]],
        ["bytes", "0"], ["decimal", "x"], ["iterator", 1], ["list", [{"a": 1}]], ["same", 0], ["same", -1],
        ["same", "0"], ["record", [1], "N", ["a", "b"]], ["record", [1], "N", ["__class__()"]],
        ["record", [1], "import os", ["a"]], ["record", [1]], ["date", [2020, 13, 1]], ["date", "today"],
        ["datetime", [1, 2, 3]], ["timedelta", [10**12, 0, 0]], ["timezone", [[9, 0, 0], "x"]],
        ["zoneinfo", "../../etc/passwd"], ["uuid", "x"], ["array", [1], "?"], ["array", ["a"], "i"],
        ["deque", [], "x"], ["defaultdict", [], 7], ["proxy", [1]], ["slice", []], ["slice", [1, 2, 3, 4]],
        ["python", "os", "system"], ["function", 0, "f", ""], ["object", [], "X"], ["error", [], [], [], ""],
        ["bytearray", [256]], ["namespace", [[1, 2]]], ["chainmap", 1], ["complex", ["1", "2"]],
    ],
    ids=str,
)  # fmt: skip
def test_what_pack_does_not_make_is_malformed(message: Any) -> None:
    with pytest.raises(Malformed):
        unpack(message)


@settings(max_examples=300, deadline=None)
@given(
    st.recursive(
        scalars | st.sampled_from([*kinds.CONTAINERS, *kinds.FROZEN, *leaves.LEAVES, "same"]),
        lambda inner: st.lists(inner, max_size=5),
        max_leaves=20,
    )
)
def test_any_message_at_all_is_a_value_or_malformed(message: Any) -> None:
    with pytest.raises(Malformed):
        unpack(message)
        raise Malformed


@pytest.mark.parametrize("data", [b"{", b"[" * 200_000, b"\xff", b"9" * 5000], ids=len)
def test_what_is_not_json_is_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        decode(data)


@pytest.mark.parametrize(
    "message",
    [
        ["decimal", "1E+999999999"], ["decimal", "1E-999999999"], ["decimal", "9" * 600_000],
        ["int", "0x" + "f" * 600_000], ["fraction", ["0x1", "0x" + "f" * 600_000]],
        ["range", ["0x0", hex(97 * 10**6), "0x1"]],
    ],
    ids=lambda message: message[0],
)  # fmt: skip
def test_a_number_that_would_hold_a_c_function_is_malformed(message: Any) -> None:
    with pytest.raises(Malformed, match="of more than"):
        unpack(message)


@pytest.mark.parametrize("tag", ["set", "frozenset", "keys", "dict", "counter", "items", "proxy", "userdict"])
def test_keys_that_all_collide_are_given_up(tag: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "REBUILD_S", 0.02)
    colliding = [number * (2**61 - 1) for number in range(20_000)]
    pairs = tag in ("dict", "counter", "userdict")
    tuples = tag in ("items", "proxy")
    items = [[n, 0] if pairs else ["tuple", [n, 0]] if tuples else n for n in colliding]
    with pytest.raises(Malformed, match="too long"):
        unpack([tag, items])
