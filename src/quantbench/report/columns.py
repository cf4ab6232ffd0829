"""One unit and one number of decimals for a whole table column, so that its figures can be compared."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor, log10

from quantbench.analysis import Metric, Row
from quantbench.analysis.formatting import MISSING

UNITS = (("GB", 1e9), ("MB", 1e6), ("kB", 1e3))


@dataclass(frozen=True, slots=True)
class NumberColumn:
    """Shows figures of one column; `divisor` turns them into `unit`."""

    unit: str
    divisor: float
    places: int

    def show(self, value: float | None) -> str:
        """The figure, or a dash for one that was not measured."""
        return MISSING if value is None else f"{value / self.divisor:,.{self.places}f}"


def byte_column(values: Sequence[int | None]) -> NumberColumn:
    """GB where the largest figure has at least 0.1 of it, else MB or kB; three figures of the smallest."""
    known = [value for value in values if value]
    largest = max(known, default=1_000_000_000)
    unit, divisor = next((pair for pair in UNITS if largest >= 0.1 * pair[1]), UNITS[-1])
    return NumberColumn(unit, divisor, places_of([value / divisor for value in known]))


def number_column(values: Sequence[float | None], unit: str = "") -> NumberColumn:
    """The unit as it is; three figures of the smallest value."""
    return NumberColumn(unit, 1.0, places_of([value for value in values if value]))


def metric_column(metric: Metric, rows: Sequence[Row]) -> NumberColumn:
    """A metric's figures of all rows in one unit; shares keep three places."""
    values = [metric.value(row) for row in rows]
    if metric.unit == "B":
        return byte_column([None if value is None else int(value) for value in values])
    return number_column(values, metric.unit) if metric.unit else NumberColumn("", 1.0, 3)


def places_of(values: Sequence[float]) -> int:
    """Decimals that leave the smallest value three figures, at most four."""
    if not values:
        return 2
    return min(4, max(0, 2 - floor(log10(min(abs(value) for value in values)))))
