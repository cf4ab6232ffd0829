from pathlib import Path

import pytest

from quantbench.measure import bandwidth
from quantbench.measure.bandwidth import (
    LARGEST,
    SMALLEST,
    best_rate,
    buffer_bytes,
    last_level_cache,
    measure_bandwidth,
)
from tests.measure.fakes import FakeClock


def test_the_rate_is_that_of_the_fastest_pass() -> None:
    clock, seconds = FakeClock(), iter([4.0, 2.0, 5.0])
    assert best_rate(lambda: clock.pass_by(next(seconds)), 1000, 3, clock) == 500


@pytest.mark.parametrize(
    ("cache", "expected"),
    [(0, SMALLEST), (32 << 20, SMALLEST), (100 << 20, 300 << 20), (1 << 30, LARGEST)],
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


def test_this_machine_reads_at_a_believable_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bandwidth, "last_level_cache", lambda: 0)
    found = measure_bandwidth("cpu")
    assert 1e8 < found.read_bytes_per_s < 1e13
    assert "matrix-vector product over 0.268 GB" in found.method
