"""EvalPlus's rules of agreement, case by case."""

from typing import Any

import pytest

from quantbench.sandbox.inside.closeness import agrees, check_cases


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
    ],
)
def test_answers_agree_by_value_type_and_distance(
    answer: Any, reference: Any, atol: float, agree: bool
) -> None:
    assert agrees(answer, reference, atol) is agree


def test_any_zero_of_the_polynomial_is_right() -> None:
    check_cases(lambda coefficients: -1.0, [([[-1.0, 0.0, 1.0]], 1.0)], "find_zero", 1e-4)


def test_a_point_that_is_no_zero_is_wrong() -> None:
    with pytest.raises(AssertionError, match="input 1"):
        check_cases(lambda coefficients: 0.5, [([[-1.0, 0.0, 1.0]], 0.5)], "find_zero", 1e-4)
