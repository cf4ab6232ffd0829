"""Methods and rounds by least squares: known answers."""

import pytest

from quantbench.stats import RoundModel


def model(cells: list[tuple[str, int, float]]) -> RoundModel:
    return RoundModel([c[0] for c in cells], [c[1] for c in cells], [c[2] for c in cells])


def test_a_drift_that_all_methods_share_is_no_noise() -> None:
    found = model([("a", 0, 1.0), ("b", 0, 1.2), ("a", 1, 3.0), ("b", 1, 3.2)])
    contrast = found.contrast("b", "a")
    assert contrast is not None and contrast.difference == pytest.approx(0.2)
    assert found.noise == pytest.approx(0.0, abs=1e-12)
    assert found.degrees == 1


def test_the_noise_of_two_methods_is_that_of_a_paired_t_test() -> None:
    """Differences 0.1, 0.3, 0.2: standard deviation 0.1, so 0.1 / sqrt(2) a process, on 2 degrees."""
    gaps = [0.1, 0.3, 0.2]
    cells = [("a", n, float(n)) for n in range(3)] + [("b", n, n + gap) for n, gap in enumerate(gaps)]
    found = model(cells)
    contrast = found.contrast("b", "a")
    assert contrast is not None and contrast.weight == pytest.approx(2 / 3)
    assert (found.noise, found.degrees) == (pytest.approx(0.1 / 2**0.5), 2)
    assert found.pair_noise("a", "b") == pytest.approx(0.1 / 2**0.5)


def test_one_process_each_knows_no_noise() -> None:
    found = model([("a", 0, 1.0), ("b", 0, 1.2)])
    assert (found.noise, found.degrees) == (None, 0)


def test_a_second_run_of_one_method_is_a_degree_of_freedom() -> None:
    found = model([("a", 0, 1.0), ("b", 0, 1.2), ("a", 0, 1.1)])
    assert found.degrees == 1
    assert found.noise == pytest.approx(0.1 / 2**0.5)


def test_methods_of_separate_rounds_are_not_compared() -> None:
    found = model([("a", 0, 1.0), ("b", 1, 1.2), ("a", 0, 1.1), ("b", 1, 1.1)])
    assert found.contrast("a", "b") is None


def test_a_method_that_missed_a_round_is_compared_by_way_of_the_others() -> None:
    cells = [("a", 0, 1.0), ("b", 0, 1.1), ("a", 1, 2.0), ("b", 1, 2.1), ("c", 1, 2.5)]
    contrast = model(cells).contrast("c", "a")
    assert contrast is not None and contrast.difference == pytest.approx(0.5)


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="1 methods, 2 rounds, 1 values"):
        RoundModel(["a"], [0, 1], [1.0])
