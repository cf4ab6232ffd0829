"""Kernels of other programs on the same GPU, as the driver's samples tell of them."""

import os
import subprocess
import sys
import time
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from quantbench.measure.nvml import DriverView, foreign_percent, most_foreign


def view_of(driver: Any) -> DriverView:
    view = DriverView("cpu")
    view._handle, view._nvml = object(), driver
    return view


def test_other_pids_are_foreign_unless_their_process_has_ended() -> None:
    here, parent, ended = os.getpid(), os.getppid(), 2**22 + 1
    assert foreign_percent([(here, 60), (parent, 30), (ended, 5)], own={here}) == 30
    assert foreign_percent([(parent, 30)], own={here}) == 30


def test_where_no_pid_is_known_the_busiest_is_taken_for_this_process() -> None:
    assert foreign_percent([(70, 60), (80, 30)], own=None) == 30
    assert foreign_percent([(70, 60)], own=None) == 0


def test_a_gpu_that_nobody_used_has_no_foreign_share() -> None:
    class NVMLError_NotFound(Exception):
        pass

    def none(*_: object) -> None:
        raise NVMLError_NotFound

    assert view_of(SimpleNamespace(nvmlDeviceGetProcessUtilization=none)).foreign_share() == 0
    assert foreign_percent([], own={7}) == 0


def test_the_share_is_of_the_last_second() -> None:
    asked = []

    def utilization(_: object, since_us: int) -> list[SimpleNamespace]:
        asked.append(time.time() - since_us / 1e6)
        return [SimpleNamespace(pid=p, smUtil=u) for p, u in ((os.getpid(), 50), (os.getppid(), 25))]

    running = [SimpleNamespace(pid=os.getpid(), usedGpuMemory=None)]
    driver = SimpleNamespace(
        nvmlDeviceGetProcessUtilization=utilization, nvmlDeviceGetComputeRunningProcesses=lambda _: running
    )
    assert view_of(driver).foreign_share() == 0.25
    assert asked == [pytest.approx(1, abs=0.1)]


def test_a_driver_that_does_not_say_gives_no_figure() -> None:
    def refused(*_: object) -> None:
        raise RuntimeError("not supported")

    view = view_of(SimpleNamespace(nvmlDeviceGetProcessUtilization=refused))
    assert view.foreign_share() is None
    assert most_foreign([view, DriverView("cpu")]) is None


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_process_that_computes_beside_this_one_is_seen() -> None:
    burn = (
        "import torch; x = torch.ones(4096, 4096, device='cuda')\nprint(1, flush=True)\n"
        "while True: y = x @ x; torch.cuda.synchronize()"
    )
    view, x = DriverView("cuda:0"), torch.ones(2048, 2048, device="cuda:0")

    with subprocess.Popen([sys.executable, "-c", burn], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        end, found = time.monotonic() + 2, None
        while time.monotonic() < end:
            for _ in range(50):
                x @ x
            torch.cuda.synchronize()
            found = view.foreign_share()
        other.kill()
    assert found is not None and found > 0.05
