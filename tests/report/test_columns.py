"""One unit and one number of decimals a column."""

import pytest

from quantbench.report.columns import byte_column, number_column


@pytest.mark.parametrize(
    ("counts", "unit", "shown"),
    [
        ([1_000_000_000, 500_000_000, 250_000_000], "GB", ["1.000", "0.500", "0.250"]),
        ([11_000_000, 5_600_000, 2_900_000], "MB", ["11.00", "5.60", "2.90"]),
        ([150_000_000, 40_000_000], "GB", ["0.1500", "0.0400"]),
        ([40_000, 20_000], "kB", ["40.0", "20.0"]),
        ([28_000_000_000, 7_000_000_000], "GB", ["28.00", "7.00"]),
    ],
)
def test_the_largest_figure_chooses_the_unit_and_the_smallest_the_decimals(
    counts: list[int], unit: str, shown: list[str]
) -> None:
    column = byte_column(counts)
    assert column.unit == unit
    assert [column.show(count) for count in counts] == shown


def test_what_was_not_measured_is_a_dash() -> None:
    assert byte_column([1_000_000_000, None]).show(None) == "—"


def test_a_column_without_any_figure_is_in_gigabytes() -> None:
    assert byte_column([None, None]).unit == "GB"


def test_rates_keep_three_figures_of_the_slowest() -> None:
    column = number_column([40.0, 1234.5])
    assert [column.show(value) for value in (40.0, 1234.5)] == ["40.0", "1,234.5"]
