"""When an answer counts as the reference's, by EvalPlus's rules; runs in the referee, on plain values.

Equal values agree. Otherwise, where there is a tolerance, values of the same type and length agree if
numpy.allclose says so, rewritten here because a referee reads nothing but the standard library: arrays are
broadcast, what is ragged or holds anything but numbers is not close, and neither is a finite number to an
infinite one. The tolerance is the problem's; where that is 0, the first reference of floats makes it 1e-6 for
itself and all later cases of the same list. find_zero has many right answers: the polynomial must be near
zero there. Some problems of MBPP+ have rules of their own (`OF_MBPP`): their texts have several meanings.
"""

import cmath
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

FLOAT_ATOL = 1e-6
RTOL = 1e-7
INTEGERS = range(-(2**63), 2**64)  # in a reference: others make an array of objects, close to nothing
MAX_DIMENSIONS = 64

Shape = tuple[int, ...]


def check_cases(
    candidate: Callable[..., Any],
    cases: Iterable[tuple[list[Any], Any]],
    entry_point: str,
    atol: float,
    dataset: str = "",
) -> None:
    """AssertionError for the first case whose answer does not agree with the reference's."""
    own = OF_MBPP.get(entry_point) if dataset == "mbpp+" else None
    for number, (arguments, reference) in enumerate(cases, start=1):
        answer = candidate(*arguments)
        if entry_point == "find_zero" and dataset != "mbpp+":
            near = abs(polynomial(arguments[0], answer)) <= atol
        else:
            atol = FLOAT_ATOL if atol == 0 and is_floats(reference) else atol
            near = own(arguments, answer, reference) if own else agrees(answer, reference, atol)
        assert near, f"input {number} has another answer"


def same_set(arguments: list[Any], answer: Any, reference: Any) -> bool:
    """Two lists with the same items."""
    return set(answer) == set(reference)


def as_boolean(arguments: list[Any], answer: Any, reference: Any) -> bool:
    """A boolean as it is; of anything else whether there is something."""
    return bool(answer == reference if isinstance(answer, bool) else reference == (answer is not None))


def anything(arguments: list[Any], answer: Any, reference: Any) -> bool:
    """Whatever is answered: the problem's text allows several meanings."""
    return True


def nothing_too(arguments: list[Any], answer: Any, reference: Any) -> bool:
    """The reference's answer, or 0."""
    return bool(answer in (reference, 0))


def by_padded_digits(arguments: list[Any], answer: Any, reference: Any) -> bool:
    """The reference's answer, or the sum of the digits' differences with zeros before the shorter number."""
    one, other = map(str, arguments)
    width = max(len(one), len(other))
    pairs = zip(one.zfill(width), other.zfill(width), strict=True)
    return bool(answer in (reference, sum(abs(int(a) - int(b)) for a, b in pairs)))


def by_perpendicular_height(arguments: list[Any], answer: Any, reference: Any) -> bool:
    """The reference's answer, or the surface of the pyramid of which the height is that of its apex."""
    edge, height = arguments
    slant = math.sqrt((edge / 2) ** 2 + height**2)
    return bool(answer in (reference, round(edge**2 + 2 * edge * slant)))


OF_MBPP: dict[str, Callable[[list[Any], Any, Any], bool]] = {
    **dict.fromkeys(
        (
            "similar_elements",
            "find_char_long",
            "common_in_nested_lists",
            "extract_singly",
            "larg_nnum",
            "intersection_array",
            "find_dissimilar",
            "Diff",
        ),
        same_set,
    ),
    **dict.fromkeys(("check_str", "text_match_three", "text_starta_endb"), as_boolean),
    "are_equivalent": anything,
    "sum_div": nothing_too,
    "digit_distance_nums": by_padded_digits,
    "surface_Area": by_perpendicular_height,
}


def agrees(answer: Any, reference: Any, atol: float) -> bool:
    """Whether an answer is the reference's, or close to it where `atol` is not 0."""
    if answer == reference:
        return True
    if atol == 0 or type(answer) is not type(reference):
        return False
    if isinstance(reference, list | tuple) and len(answer) != len(reference):
        return False
    return all_close(answer, reference, atol)


def is_floats(value: Any) -> bool:
    """A float, or a list or tuple of nothing but floats."""
    if isinstance(value, list | tuple):
        return bool(value) and all(isinstance(item, float) for item in value)
    return isinstance(value, float)


def all_close(answer: Any, reference: Any, atol: float) -> bool:
    """numpy.allclose(answer, reference, RTOL, atol); False where that raises."""
    try:
        pairs = broadcast(answer, array_shape(answer), reference, array_shape(reference, integers=INTEGERS))
        return all(is_close(number, other, atol) for number, other in pairs)
    except (ValueError, OverflowError):
        return False


def array_shape(value: Any, dimension: int = 0, integers: range | None = None) -> Shape:
    """Lengths by dimension; ValueError for what numpy makes no array of numbers of.

    `integers` bounds those inside lists: beyond them numpy takes an array for one of objects.
    """
    if not isinstance(value, list | tuple):
        if not isinstance(value, int | float | complex):
            raise ValueError("not a number")
        if dimension and integers and isinstance(value, int) and value not in integers:
            raise ValueError("an integer that no array holds")
        return ()
    if dimension == MAX_DIMENSIONS:
        raise ValueError("too many dimensions")
    shapes = {array_shape(item, dimension + 1, integers) for item in value}
    if len(shapes) > 1:
        raise ValueError("a ragged list")
    return (len(value), *(shapes.pop() if shapes else ()))


def broadcast(left: Any, left_shape: Shape, right: Any, right_shape: Shape) -> Iterator[tuple[Any, Any]]:
    """Pairs of numbers of two arrays stretched to one shape; ValueError where that cannot be."""
    if not left_shape and not right_shape:
        yield left, right
        return
    if len(left_shape) < len(right_shape):
        left, left_shape = [left], (1, *left_shape)
    elif len(right_shape) < len(left_shape):
        right, right_shape = [right], (1, *right_shape)
    length = right_shape[0] if left_shape[0] == 1 else left_shape[0]
    if right_shape[0] not in (1, length):
        raise ValueError("shapes that do not go together")
    for index in range(length):
        a = left[0 if left_shape[0] == 1 else index]
        b = right[0 if right_shape[0] == 1 else index]
        yield from broadcast(a, left_shape[1:], b, right_shape[1:])


def is_close(answer: complex, reference: complex, atol: float) -> bool:
    """numpy.isclose of two numbers; OverflowError for integers beyond floats."""
    if answer == reference:
        return True
    number, other = (float(n) if isinstance(n, int) else n for n in (answer, reference))
    return cmath.isfinite(other) and abs(number - other) <= atol + RTOL * abs(other)


def polynomial(coefficients: list[float], x: float) -> float:
    """Its value at x; coefficients from the constant on."""
    return sum(coefficient * math.pow(x, power) for power, coefficient in enumerate(coefficients))
