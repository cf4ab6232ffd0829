"""Figures that are counted, or repeat within a stated share: sizes and memory. Nothing is estimated here."""

from collections.abc import Callable, Sequence

from quantbench.analysis.comparison.comparisons import Comparison, Comparisons, Pair, Verdict, pairs_of
from quantbench.analysis.figures.row import Row

SIZE, MEMORY = "size", "memory"  # keys of the metrics

# A process's peak resident set moves by a few per cent from run to run; the CUDA allocator's does not.
RESIDENT_SHARE = 0.03
RESIDENT_BYTES = 16_000_000
ALLOCATOR_SHARE = 0.001


def compare_sizes(rows: Sequence[Row]) -> Comparisons:
    """Weight bytes are counted, not estimated."""
    return _all_pairs(rows, SIZE, size_verdict)


def compare_memory(rows: Sequence[Row]) -> Comparisons:
    """Peaks differ when they are further apart than repeating the run would make them."""
    return _all_pairs(rows, MEMORY, memory_verdict)


def size_verdict(one: Row, other: Row) -> Comparison:
    """Undecided only where a size is missing."""
    if one.weight_bytes is None or other.weight_bytes is None:
        return Comparison(verdict=Verdict.UNDECIDED, why="a size is missing")
    differ = one.weight_bytes != other.weight_bytes
    return Comparison(verdict=_verdict(differ), why="sizes are exact")


def memory_verdict(one: Row, other: Row) -> Comparison:
    """Undecided only where a figure is missing."""
    a, b = one.memory_bytes, other.memory_bytes
    if a is None or b is None or one.record.memory is None:
        return Comparison(verdict=Verdict.UNDECIDED, why="a memory figure is missing")
    if one.record.memory.kind == "cuda":
        differ = abs(a - b) > ALLOCATOR_SHARE * max(a, b)
        return Comparison(verdict=_verdict(differ), why="the allocator's peak repeats exactly")
    differ = abs(a - b) > max(RESIDENT_SHARE * max(a, b), RESIDENT_BYTES)
    why = "a resident set varies by about 3 %, and by 16 MB at least, between runs"
    return Comparison(verdict=_verdict(differ), why=why)


def _verdict(differ: bool) -> Verdict:
    return Verdict.SIGNIFICANT if differ else Verdict.NOT_SIGNIFICANT


def _all_pairs(rows: Sequence[Row], metric: str, compare: Callable[[Row, Row], Comparison]) -> Comparisons:
    by_label = {row.label: row for row in rows}
    found: dict[Pair, Comparison] = {}
    for pair in pairs_of(list(by_label), metric):
        found[pair] = compare(by_label[pair.one], by_label[pair.other])
    return Comparisons(found)
