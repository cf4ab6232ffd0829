import pytest

from quantbench.stats import pass_at_k, wilson_interval


def test_wilson_of_51_of_164_is_the_known_interval() -> None:
    interval = wilson_interval(51, 164)
    assert interval.low == pytest.approx(0.24514, abs=1e-4)
    assert interval.high == pytest.approx(0.38544, abs=1e-4)


def test_wilson_of_none_passed_starts_at_zero_and_stays_wide() -> None:
    interval = wilson_interval(0, 10)
    assert interval.low == 0.0
    assert interval.high == pytest.approx(0.2775, abs=1e-4)


def test_wilson_of_all_passed_mirrors_none_passed() -> None:
    assert wilson_interval(10, 10).low == pytest.approx(1 - wilson_interval(0, 10).high)


def test_wilson_of_no_problems_is_an_error() -> None:
    with pytest.raises(ValueError, match="no share"):
        wilson_interval(0, 0)


def test_pass_at_one_is_the_share() -> None:
    assert pass_at_k(10, 3, 1) == pytest.approx(0.3)


def test_pass_at_k_is_the_known_answer() -> None:
    assert pass_at_k(5, 2, 2) == pytest.approx(1 - 3 / 10)


def test_pass_at_k_is_sure_when_fewer_than_k_failed() -> None:
    assert pass_at_k(5, 3, 3) == 1.0


def test_pass_at_more_than_n_is_an_error() -> None:
    with pytest.raises(ValueError, match="not defined"):
        pass_at_k(5, 3, 6)
