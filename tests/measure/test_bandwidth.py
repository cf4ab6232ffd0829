from pathlib import Path

import pytest

from quantbench.measure import bandwidth
from quantbench.measure.bandwidth import (
    LARGEST,
    SMALLEST,
    UNKNOWN,
    best_rate,
    buffer_bytes,
    joined,
    last_level_cache,
    measure_bandwidth,
    summary,
)
from quantbench.records import Reading
from tests.measure.fakes import FakeClock


def test_the_rate_is_that_of_the_fastest_pass() -> None:
    clock, seconds = FakeClock(), iter([4.0, 2.0, 5.0])
    assert best_rate(lambda: clock.pass_by(next(seconds)), 1000, 3, clock) == 500


@pytest.mark.parametrize(
    ("cache", "expected"),
    [(0, UNKNOWN), (32 << 20, SMALLEST), (100 << 20, 300 << 20), (1 << 30, LARGEST)],
)
def test_the_buffer_is_three_times_the_cache_within_bounds(cache: int, expected: int) -> None:
    assert buffer_bytes(cache, available=1 << 40) == expected


def test_the_buffer_takes_at_most_a_quarter_of_what_is_free() -> None:
    assert buffer_bytes(1 << 30, available=1 << 28) == 1 << 26


def test_the_largest_cache_is_found(tmp_path: Path) -> None:
    for index, text in enumerate(["48K\n", "2048K\n", "33M\n", "?\n"]):
        (tmp_path / f"index{index}").mkdir()
        (tmp_path / f"index{index}" / "size").write_text(text)
    assert last_level_cache(tmp_path) == 33 << 20


def test_a_system_that_names_no_cache_has_none(tmp_path: Path) -> None:
    assert last_level_cache(tmp_path) == 0


def test_this_machine_reads_at_a_believable_rate_in_several_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bandwidth, "last_level_cache", lambda: 0)
    found = measure_bandwidth("cpu", step_bytes=1 << 20)
    assert 1e8 < found.read_bytes_per_s < 1e13
    assert found.step_bytes_per_s is not None and found.step_bytes_per_s >= found.read_bytes_per_s
    assert {reading.size_bytes for reading in found.readings} == {UNKNOWN, 1 << 20}
    assert len({reading.way for reading in found.readings}) >= 2


def reading(size: int, rate: float, when: str = "before") -> Reading:
    return Reading(size_bytes=size, way=f"{rate:g}", when=when, bytes_per_s=rate)


def test_the_best_way_before_or_after_counts_for_each_size() -> None:
    before = summary((reading(1000, 20.0), reading(1000, 25.0)), 1000, None)
    after = summary((reading(1000, 24.0, "after"), reading(10, 90.0, "after")), 1000, 10)
    both = joined(before, after, 10)
    assert (both.read_bytes_per_s, both.step_bytes_per_s) == (25.0, 90.0)
    assert both.method.startswith("25 over")
    assert len(both.readings) == 4


def test_a_step_larger_than_the_buffer_is_held_against_memory() -> None:
    assert summary((reading(1000, 25.0),), 1000, 5000).step_bytes_per_s == 25.0


def test_a_smaller_buffer_is_never_taken_for_memory() -> None:
    assert summary((reading(1000, 25.0), reading(10, 90.0)), 1000, 10).read_bytes_per_s == 25.0
