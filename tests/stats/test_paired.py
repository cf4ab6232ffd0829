import pytest

from quantbench.stats import mcnemar_exact


@pytest.mark.parametrize(("b", "c", "p"), [(6, 0, 0.03125), (8, 1, 0.0390625), (10, 2, 0.03857421875)])
def test_mcnemar_knows_the_smallest_real_differences(b: int, c: int, p: float) -> None:
    assert mcnemar_exact(b, c) == pytest.approx(p)


def test_mcnemar_is_symmetric() -> None:
    assert mcnemar_exact(2, 9) == mcnemar_exact(9, 2)


def test_mcnemar_of_five_to_none_proves_nothing() -> None:
    assert mcnemar_exact(5, 0) == pytest.approx(0.0625)


def test_mcnemar_without_discordant_problems_is_one() -> None:
    assert mcnemar_exact(0, 0) == 1.0


def test_mcnemar_of_negative_counts_is_an_error() -> None:
    with pytest.raises(ValueError, match="negative"):
        mcnemar_exact(-1, 3)
