import sys

import pytest
import torch

from quantbench.measure.memory import MemoryMeter
from quantbench.measure.nvml import DriverView, own_bytes, own_pids
from quantbench.measure.resident import peak_resident_bytes, reset_peak, resident_bytes

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="the peak can be reset on Linux alone")
SIZE = 50_000_000


def touch() -> None:
    """Hold 50 MB for a moment."""
    torch.ones(SIZE, dtype=torch.uint8)


@LINUX
def test_the_peak_begins_anew_with_the_meter() -> None:
    touch()
    meter = MemoryMeter("cpu")
    meter.loaded()
    memory = meter.finish()
    assert (memory.process_bytes or 0) < (memory.baseline_process_bytes or 0) + SIZE / 2


@LINUX
def test_what_is_held_for_a_moment_while_loading_is_told_apart_from_running() -> None:
    meter = MemoryMeter("cpu")
    touch()
    meter.loaded()
    memory = meter.finish()
    assert (memory.load_peak_bytes or 0) > (memory.baseline_process_bytes or 0) + 0.9 * SIZE
    assert memory.process_bytes is not None and memory.load_peak_bytes is not None
    assert memory.process_bytes < memory.load_peak_bytes - 0.9 * SIZE


@LINUX
def test_what_is_held_while_running_does_not_count_as_loading() -> None:
    meter = MemoryMeter("cpu")
    meter.loaded()
    touch()
    memory = meter.finish()
    assert (memory.process_bytes or 0) > (memory.load_peak_bytes or 0) + 0.9 * SIZE


def test_on_the_cpu_there_are_no_figures_of_an_allocator() -> None:
    memory = MemoryMeter("cpu").finish()
    assert memory.kind == "cpu"
    assert (memory.peak_allocated_bytes, memory.peak_reserved_bytes) == (None, None)


@LINUX
def test_after_a_reset_the_peak_is_what_is_resident_now() -> None:
    assert reset_peak()
    assert peak_resident_bytes() == pytest.approx(resident_bytes(), rel=0.1)


def test_a_process_is_found_by_its_number() -> None:
    assert own_bytes([(7, 100), (8, 200)], frozenset({8})) == 200


def test_a_process_under_another_number_is_known_when_it_is_alone() -> None:
    assert own_bytes([(7, 100)], frozenset({8})) == 100


def test_a_process_among_strangers_is_not_guessed() -> None:
    assert own_bytes([(7, 100), (9, 200)], frozenset({8})) is None
    assert own_bytes([], frozenset({8})) is None


def test_this_process_knows_its_own_number() -> None:
    import os

    assert os.getpid() in own_pids()


def test_the_cpu_has_no_driver_figures() -> None:
    view = DriverView("cpu")
    assert (view.process_bytes(), view.joules()) == (None, None)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_peaks_of_loading_and_running_are_apart() -> None:
    meter = MemoryMeter("cuda:0")
    held = torch.zeros(1 << 26, dtype=torch.uint8, device="cuda:0")
    large = torch.zeros(1 << 28, dtype=torch.uint8, device="cuda:0")
    del large
    meter.loaded()
    memory = meter.finish()
    assert (memory.load_peak_bytes or 0) >= (1 << 28) + (1 << 26)
    assert held.nbytes <= (memory.peak_allocated_bytes or 0) < 1 << 28
