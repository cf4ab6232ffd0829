"""Figures as sentences hold them."""

import pytest

from quantbench.analysis.formatting import chance, factors, lower_first, one_line, ratio, signed, significant
from quantbench.stats import Interval
from quantbench.units import listed


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.34756, "0.348"),
        (40.0, "40.0"),
        (1234.4, "1,234"),
        (0.0, "0"),
        (0.00123, "0.00123"),
        (-2.5, "-2.50"),
    ],
)
def test_three_figures_are_kept(value: float, text: str) -> None:
    assert significant(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.5, "0.50×"), (1.0, "1.00×"), (0.998, "0.998×"), (1.01, "1.01×")]
)
def test_a_ratio_near_one_is_not_rounded_to_it(value: float, text: str) -> None:
    assert ratio(value, 1.0) == text


@pytest.mark.parametrize(
    ("names", "text"), [(["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")]
)
def test_names_are_listed(names: list[str], text: str) -> None:
    assert listed(names) == text


@pytest.mark.parametrize(("p", "text"), [(0.0004, "p < 0.001"), (0.0312, "p = 0.031"), (1.0, "p = 1.0")])
def test_a_chance_keeps_two_figures(p: float, text: str) -> None:
    assert chance(p) == text


def test_a_loss_has_a_real_minus() -> None:
    assert signed(-3.04) == "−3.0"


def test_a_message_becomes_one_sentence_on_one_line() -> None:
    assert one_line("out of\n  memory") == "out of memory."


@pytest.mark.parametrize(
    ("name", "text"), [("Model size", "model size"), ("HumanEval pass@1", "HumanEval pass@1")]
)
def test_names_with_capitals_inside_keep_them(name: str, text: str) -> None:
    assert lower_first(name) == text


@pytest.mark.parametrize(
    ("logarithms", "text"),
    [
        ((-0.1, 0.2), "0.90 to 1.22"),
        ((0.5, 2.4), "1.65 to more than 10"),
        ((-110.0, 110.0), "less than 0.1 to more than 10"),
        ((-1e6, 1e6), "less than 0.1 to more than 10"),
    ],
)
def test_a_factor_that_is_open_by_more_than_tenfold_is_told_as_such(
    logarithms: tuple[float, float], text: str
) -> None:
    assert factors(Interval(*logarithms)) == text
