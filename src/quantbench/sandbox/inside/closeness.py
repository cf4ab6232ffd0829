"""When an answer counts as the reference's, by EvalPlus's rules; runs in the referee, on plain values.

Equal values agree. Otherwise, where the problem has a tolerance or the reference answered with floats
(then 1e-6), values of the same type and length agree if each difference is at most atol + 1e-7 times the
reference.
find_zero has many right answers: the polynomial must be near zero there. The tolerance of one float answer
is not carried over to later cases.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

FLOAT_ATOL = 1e-6
RTOL = 1e-7


def check_cases(
    candidate: Callable[..., Any], cases: Iterable[tuple[list[Any], Any]], entry_point: str, atol: float
) -> None:
    """AssertionError for the first case whose answer does not agree with the reference's."""
    for number, (arguments, reference) in enumerate(cases, start=1):
        answer = candidate(*arguments)
        if entry_point == "find_zero":
            near = abs(polynomial(arguments[0], answer)) <= atol
        else:
            near = agrees(answer, reference, atol)
        assert near, f"input {number} has another answer"


def agrees(answer: Any, reference: Any, atol: float) -> bool:
    """Whether an answer is the reference's."""
    if answer == reference:
        return True
    atol = FLOAT_ATOL if atol == 0 and is_floats(reference) else atol
    return atol != 0 and type(answer) is type(reference) and is_close(answer, reference, atol)


def is_floats(value: Any) -> bool:
    """A float, or a list or tuple of nothing but floats."""
    if isinstance(value, list | tuple):
        return bool(value) and all(isinstance(item, float) for item in value)
    return isinstance(value, float)


def is_close(answer: Any, reference: Any, atol: float) -> bool:
    """Elementwise closeness of numbers; False for anything else."""
    if isinstance(reference, list | tuple):
        return (
            isinstance(answer, list | tuple)
            and len(answer) == len(reference)
            and all(is_close(a, r, atol) for a, r in zip(answer, reference, strict=True))
        )
    if not isinstance(answer, int | float) or not isinstance(reference, int | float):
        return False
    return bool(answer == reference or abs(answer - reference) <= atol + RTOL * abs(reference))


def polynomial(coefficients: list[float], x: float) -> float:
    """Its value at x; coefficients from the constant on."""
    return sum(coefficient * math.pow(x, power) for power, coefficient in enumerate(coefficients))
