"""EvalPlus's rules of agreement, case by case."""

from random import Random
from typing import Any

import numpy as np
import pytest

from quantbench.sandbox.inside.closeness import agrees, check_cases

INF = float("inf")


@pytest.mark.parametrize(
    ("answer", "reference", "atol", "agree"),
    [
        (3, 3, 0, True),
        (3, 4, 0, False),
        (True, 1, 0, True),
        ([1], (1,), 0, False),
        (0.1 + 0.2, 0.3, 0, True),
        (0.3001, 0.3, 0, False),
        (0.3001, 0.3, 1e-3, True),
        ([0.1 + 0.2], [0.3], 0, True),
        ((0.1 + 0.2, 1), (0.3, 1), 0, False),
        ([0.3, 1.0], [0.3], 0, False),
        ((0.1 + 0.2,), [0.3], 0, False),
        (1, 1.0000001, 1e-6, False),
        (10**9 + 1, 10**9, 1e-6, True),
        (float("nan"), float("nan"), 1e-6, False),
        (float("inf"), float("inf"), 0, True),
        ("a", "b", 1e-6, False),
        ([None], [0.3], 1e-6, False),
        ([[0.1 + 0.2]], [[0.3]], 1e-6, True),
        ([], [], 0, True),
        (1e300, INF, 1e-6, False),
        (INF, 1e300, 1e-6, False),
        (-INF, INF, 1e-6, False),
        ([1.0, 2.0], [1.0, INF], 1e-6, False),
        ([[1.0], [2.0, 3.0 + 1e-9]], [[1.0], [2.0, 3.0]], 1e-6, False),
        ([[1.0, 2.0 + 1e-9]], [[1.0, 2.0]], 1e-6, True),
        ([[1.0], [2.0]], [[1.0, 1.0], [2.0, 2.0]], 1e-6, True),
    ],
)
def test_answers_agree_by_value_type_and_distance(
    answer: Any, reference: Any, atol: float, agree: bool
) -> None:
    assert passes([answer], [reference], atol) is agree


def passes(answers: list[Any], references: list[Any], atol: float) -> bool:
    """Whether a function that gives these answers in turn passes."""
    given = iter(answers)
    try:
        check_cases(lambda: next(given), [([], reference) for reference in references], "f", atol)
    except AssertionError:
        return False
    return True


def test_the_tolerance_of_a_reference_of_floats_holds_for_later_cases() -> None:
    assert passes([0.5, [[1 + 1e-9]]], [0.5, [[1]]], 0)
    assert not passes([[[1 + 1e-9]], 0.5], [[[1]], 0.5], 0)


def nested(random: Random, depth: int = 0) -> Any:
    """Numbers in lists and tuples, ragged or not."""
    if depth < 4 and random.random() < 0.6:
        if random.random() < 0.5:
            row = nested(random, depth + 1)
            return [nudged(random, row) for _ in range(random.randrange(4))]
        return [nested(random, depth + 1) for _ in range(random.randrange(4))]
    return random.choice([0, 1, 1.0, -1.0, INF, float("nan"), True, 2**63, 2**70, 10**400, 1j, 10**9])


def nudged(random: Random, value: Any) -> Any:
    """The same with some numbers a little larger, or a list more or less around some."""
    if isinstance(value, list):
        items = [nudged(random, item) for item in value]
        return tuple(items) if random.random() < 0.1 else [items] if random.random() < 0.1 else items
    if isinstance(value, float) and random.random() < 0.5:
        return value * (1 + random.choice([1e-9, 1e-7, 1e-5]))
    return value


def numpy_agrees(answer: Any, reference: Any, atol: float) -> bool:
    """The rule as EvalPlus states it."""
    if answer == reference:
        return True
    if atol == 0 or type(answer) is not type(reference):
        return False
    if isinstance(reference, list | tuple) and len(answer) != len(reference):
        return False
    try:
        return bool(np.allclose(answer, reference, rtol=1e-7, atol=atol))
    except (ValueError, TypeError, OverflowError):
        return False


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_agreement_is_that_of_numpy_on_nested_lists() -> None:
    random = Random(20261125)
    for _ in range(5000):
        reference = nested(random)
        answer = nudged(random, reference) if random.random() < 0.8 else nested(random)
        atol = random.choice([0.0, 1e-6])
        assert agrees(answer, reference, atol) is numpy_agrees(answer, reference, atol), (answer, reference)


def test_any_zero_of_the_polynomial_is_right() -> None:
    check_cases(lambda coefficients: -1.0, [([[-1.0, 0.0, 1.0]], 1.0)], "find_zero", 1e-4)


def test_a_point_that_is_no_zero_is_wrong() -> None:
    with pytest.raises(AssertionError, match="input 1"):
        check_cases(lambda coefficients: 0.5, [([[-1.0, 0.0, 1.0]], 0.5)], "find_zero", 1e-4)
