"""Sizes and memory: counted, or known to a stated share."""

import pytest

from quantbench.analysis.comparison.comparisons import Verdict
from quantbench.analysis.comparison.exact_tests import memory_verdict, size_verdict
from quantbench.analysis.figures.row import Row, read_row
from quantbench.records import Memory
from tests.report_records import full_record, record


def resident(count: int, kind: str) -> Row:
    memory = (
        Memory(kind=kind, peak_allocated_bytes=count)
        if kind == "cuda"
        else Memory(kind=kind, process_bytes=count)
    )
    return read_row(record(str(count), memory=memory), is_baseline=False)


@pytest.mark.parametrize(
    ("kind", "one", "other", "verdict"),
    [
        ("cuda", 1_000_000_000, 990_000_000, Verdict.SIGNIFICANT),
        ("cuda", 1_000_000_000, 999_500_000, Verdict.NOT_SIGNIFICANT),
        ("cpu", 1_000_000_000, 980_000_000, Verdict.NOT_SIGNIFICANT),
        ("cpu", 1_000_000_000, 900_000_000, Verdict.SIGNIFICANT),
        ("cpu", 100_000_000, 90_000_000, Verdict.NOT_SIGNIFICANT),
    ],
)
def test_a_resident_set_must_differ_by_more_than_an_allocators_peak(
    kind: str, one: int, other: int, verdict: Verdict
) -> None:
    assert memory_verdict(resident(one, kind), resident(other, kind)).verdict is verdict


def sized(gigabytes: float) -> Row:
    return read_row(full_record("int8", gigabytes, 1.0, 1.0, ()), is_baseline=False)


def test_any_difference_in_size_is_real() -> None:
    assert size_verdict(sized(0.500), sized(0.501)).verdict is Verdict.SIGNIFICANT


def test_a_missing_figure_leaves_it_undecided() -> None:
    nothing = read_row(record("fp16"), is_baseline=True)
    assert size_verdict(sized(0.5), nothing).verdict is Verdict.UNDECIDED
    assert memory_verdict(sized(0.5), nothing).verdict is Verdict.UNDECIDED
