"""What a server's processes use: memory, processor time, and what kept them from running.

All figures are of the server and what it started. Of a server that was not started here no process is known,
and they are missing.
"""

import contextlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

from quantbench.measure.load import LoadReading, busy_s, stolen_s
from quantbench.measure.nvml import DriverView
from quantbench.measure.speed import Meters
from quantbench.records import Memory, MemoryKind

PROC = Path("/proc")
Tree = Callable[[], Sequence[psutil.Process]]


def server_meters(tree: Tree | None, threads: int, device: str = "cpu") -> Meters:
    """Clocks and load of a server's processes on `device`, of which `threads` threads are to work.

    `tree` is None where its processes are unknown.
    """
    if tree is None:
        nothing = LoadReading(queued=None, stolen=None, busy=None, own=0.0)
        return Meters(cpu=lambda: 0.0, load=lambda: nothing)
    view = DriverView(device)
    return Meters(
        cpu=lambda: cpu_s(tree()),
        load=lambda: read_server_load(tree()),
        foreign_gpu=lambda: view.foreign_share({process.pid for process in tree()}),
        threads=threads,
    )


def cpu_s(processes: Sequence[psutil.Process]) -> float:
    """Seconds that the processes computed."""
    total = 0.0
    for process in processes:
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def read_server_load(processes: Sequence[psutil.Process]) -> LoadReading:
    """The counters now; this process, which asks, counts as the server's own.

    Waiting for a core is not among them: a server that has more threads than cores waits for itself.
    """
    return LoadReading(
        queued=None,
        stolen=stolen_s(),
        busy=busy_s(),
        own=time.process_time() + cpu_s(processes),
    )


class ServerMemory:
    """Peak resident sets of a server's processes, loading and running apart; on a GPU the driver's."""

    def __init__(self, tree: Tree, device: str) -> None:
        self._tree, self._device = tree, device
        self._load_peak: int | None = None

    def loaded(self) -> None:
        """Note the peak of loading; that of running begins here, where the system allows it."""
        self._load_peak = peak_bytes(self._tree())
        for process in self._tree():
            with contextlib.suppress(OSError):
                (PROC / str(process.pid) / "clear_refs").write_text("5")

    def finish(self) -> Memory:
        """All peaks up to now."""
        processes = self._tree()
        if self._device.startswith("cuda"):
            used = DriverView(self._device).bytes_of({process.pid for process in processes})
            return Memory(kind=MemoryKind.CUDA, process_bytes=used)
        return Memory(
            kind=MemoryKind.CPU, load_peak_bytes=self._load_peak, process_bytes=peak_bytes(processes)
        )


def peak_bytes(processes: Sequence[psutil.Process]) -> int | None:
    """Sum of the processes' largest resident sets; pages that they share count in each."""
    peaks = [peak for process in processes if (peak := peak_of(process)) is not None]
    return sum(peaks) if peaks else None


def peak_of(process: psutil.Process) -> int | None:
    """Largest resident set of one process; what it has now where the system keeps no peak."""
    try:
        for line in (PROC / str(process.pid) / "status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return None
