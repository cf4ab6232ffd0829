"""Values on their way between box and tests: what comes back is plain, and equal to what was sent."""

import math
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantbench.sandbox.inside.values import (
    MAX_ITEMS,
    Malformed,
    Opaque,
    ProgramError,
    ProgramStopped,
    decode,
    encode,
    pack,
    rebuild_error,
    unpack,
)


def travelled(value: Any) -> Any:
    return unpack(decode(encode(pack(value))))


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
keys = st.booleans() | st.integers() | st.text() | st.tuples(st.integers(), st.text())
values = st.recursive(
    scalars | st.sets(keys) | st.frozensets(keys),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(keys, inner),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(values)
def test_a_plain_value_arrives_as_it_was(value: Any) -> None:
    arrived = travelled(value)
    assert arrived == value and type(arrived) is type(value)


@pytest.mark.parametrize(
    "value",
    [
        10**5000, -(2**2000), 1 + 2j, Decimal("2.50"), Fraction(7, 3), range(2, 9, 3), bytearray(b"ab"),
        deque([1, 2]), {1: "a"}.keys(), {1: "a"}.items(), "\ud800", -0.0, math.inf, ..., NotImplemented,
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_other_built_in_values_arrive_as_they_were(value: Any) -> None:
    assert travelled(value) == value


def test_not_a_number_stays_unequal() -> None:
    assert math.isnan(travelled(math.nan))


Pair = namedtuple("Pair", "a b")


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (Pair(1, 2), tuple), (OrderedDict(a=1), dict), (defaultdict(int, a=1), dict), (Counter("a"), dict),
        (type("Own", (int,), {})(7), int), (type("Own", (str,), {})("x"), str),
        (type("Own", (float,), {})(7), float),
        (type("Own", (list,), {})([7]), list), (type("Own", (set,), {})([7]), set),
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


def test_an_iterator_arrives_as_an_iterator() -> None:
    arrived = travelled(n * n for n in range(3))
    assert arrived != [0, 1, 4] and list(arrived) == [0, 1, 4]


def test_an_iterator_fails_where_it_failed() -> None:
    arrived = travelled(1 // n for n in (1, 0))
    assert next(arrived) == 1
    with pytest.raises(ZeroDivisionError):
        next(arrived)


def test_an_endless_iterator_is_no_value() -> None:
    assert isinstance(travelled(iter(int, 1)), Opaque)
    assert len(list(travelled(iter(range(MAX_ITEMS))))) == MAX_ITEMS


def test_a_value_that_holds_itself_ends() -> None:
    loop: list[Any] = []
    loop.append(loop)
    assert travelled(loop) != loop


@pytest.mark.parametrize(
    "message",
    [
        {"a": 1}, ["eval", "1"], ["list", 7], ["list"], ["list", [], []], [["list"], []],
        ["set", [["list", []]]], ["int", "x"], ["int", 7], ["fraction", ["0x1", "0x0"]],
        ["range", ["0x0", "0x1", "0x0"]], ["dict", [[1]]],
        ["bytes", "0"], ["decimal", "x"], ["iterator", [[], ["E"]]], ["iterator", 1], ["list", [{"a": 1}]],
    ],
    ids=str,
)  # fmt: skip
def test_what_pack_does_not_make_is_malformed(message: Any) -> None:
    with pytest.raises(Malformed):
        list(unpack(message))


@pytest.mark.parametrize("data", [b"{", b"[" * 200_000, b"\xff", b"9" * 5000], ids=len)
def test_what_is_not_json_is_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        decode(data)


def test_a_built_in_exception_is_rebuilt() -> None:
    assert isinstance(rebuild_error("KeyError", "x"), KeyError)


def test_an_exception_of_the_programs_own_is_told_by_its_name() -> None:
    error = rebuild_error("Own", "text")
    assert isinstance(error, ProgramError) and str(error) == "Own: text"


def test_what_is_no_ordinary_exception_is_none_here_either() -> None:
    assert isinstance(rebuild_error("SystemExit", "0"), ProgramStopped)
