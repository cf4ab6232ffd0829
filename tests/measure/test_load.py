import os
import subprocess
import time
from pathlib import Path

import pytest

from quantbench.measure.load import LoadReading, load_between, queued_s, read_load


def reading(queued: float | None, stolen: float | None, busy: float | None, own: float) -> LoadReading:
    return LoadReading(queued=queued, stolen=stolen, busy=busy, own=own)


def test_shares_are_of_the_threads_and_of_the_cores() -> None:
    before, after = reading(1.0, 0.0, 10.0, 5.0), reading(3.0, 0.8, 17.0, 8.0)
    found = load_between(before, after, 2.0, threads=4, cores=8)
    assert found.queued == pytest.approx(2.0 / 2.0 / 4)
    assert found.stolen == pytest.approx(0.8 / 2.0 / 8)
    assert found.foreign_cores == pytest.approx((7.0 - 3.0) / 2.0)


def test_what_the_system_does_not_count_is_not_known() -> None:
    found = load_between(reading(None, None, None, 0), reading(None, None, None, 1), 1.0, threads=1)
    assert (found.queued, found.stolen, found.foreign_cores) == (None, None, None)


def test_waiting_is_summed_over_all_threads(tmp_path: Path) -> None:
    for task, text in {"1": "500 2000000000 7\n", "2": "9 1500000000 1\n", "3": "\n"}.items():
        (tmp_path / task).mkdir()
        (tmp_path / task / "schedstat").write_text(text)
    assert queued_s(tmp_path) == pytest.approx(3.5)
    assert queued_s(tmp_path, "2") == pytest.approx(1.5)


def test_of_a_gpus_process_the_feeding_thread_alone_counts() -> None:
    reading = read_load("cuda:0")
    assert reading.stolen is None
    everyone = read_load().queued
    assert reading.queued is None or (everyone is not None and reading.queued <= everyone)


def test_without_the_counter_waiting_is_not_known(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    assert queued_s(tmp_path) is None


@pytest.mark.skipif(read_load().queued is None, reason="this system does not count waiting")
def test_a_busy_loop_on_every_core_makes_this_process_wait() -> None:
    loops = [subprocess.Popen(["sh", "-c", "while :; do :; done"]) for _ in range(os.cpu_count() or 1)]
    try:
        before, start = read_load(), time.perf_counter()
        while time.perf_counter() - start < 0.3:
            pass
        found = load_between(before, read_load(), time.perf_counter() - start, threads=1)
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()
    assert found.queued is not None and found.queued > 0.2
