"""What the NVIDIA driver says about one GPU: this process's memory, the energy used, who else computes.

NVML numbers GPUs without regard to CUDA_VISIBLE_DEVICES, so a device is found by its UUID. Everything is
None where NVML is missing or does not support it.
"""

import os
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import psutil


class DriverView:
    """NVML's view of the GPU behind 'cuda:N'; all None for the CPU."""

    def __init__(self, device: str) -> None:
        self._handle: Any = None
        if not device.startswith("cuda"):
            return
        import torch

        uuid = str(torch.cuda.get_device_properties(device).uuid)
        try:
            import pynvml

            pynvml.nvmlInit()
            self._handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")
            self._nvml = pynvml
        except Exception:  # NVML's errors have no common base in every version
            self._handle = None

    def process_bytes(self) -> int | None:
        """GPU memory of this process: context, libraries, the allocator's pool."""
        return own_bytes(self._running(), own_pids())

    def bytes_of(self, pids: Collection[int]) -> int | None:
        """GPU memory of other processes together; None where the driver names none of them."""
        known = [used for pid, used in self._running() if pid in pids and used is not None]
        return sum(known) if known else None

    def _running(self) -> list[tuple[int, int | None]]:
        """(pid, bytes) of every process on the GPU; none where the driver does not say."""
        if self._handle is None:
            return []
        try:
            running = self._nvml.nvmlDeviceGetComputeRunningProcesses(self._handle)
        except Exception:  # as above
            return []
        return [(p.pid, p.usedGpuMemory) for p in running]

    def joules(self) -> float | None:
        """Energy the whole GPU has used since the driver was loaded."""
        if self._handle is None:
            return None
        try:
            return float(self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle)) / 1000
        except Exception:  # as above
            return None

    def foreign_share(self, own: Collection[int] | None = None) -> float | None:
        """Share of the GPU's time of the last second in which kernels ran that are not of the `own` pids.

        Those of this process by default; processes that have ended do not count. The driver samples a process
        a few times a second and averages from the time that is named on.
        """
        if self._handle is None:
            return None
        try:
            samples = self._nvml.nvmlDeviceGetProcessUtilization(self._handle, int((time.time() - 1) * 1e6))
        except Exception as error:  # as above
            return 0.0 if type(error).__name__ == "NVMLError_NotFound" else None  # nobody computed
        mine = own_pids() if own is None else own
        named = any(pid in mine for pid, _ in self._running())
        return foreign_percent([(s.pid, s.smUtil) for s in samples], mine if named else None) / 100


def total_joules(views: Sequence[DriverView]) -> float | None:
    """Energy of several GPUs together; None where one of them does not say."""
    found = [view.joules() for view in views]
    return None if None in found else sum(value for value in found if value is not None)


def most_foreign(views: Sequence[DriverView]) -> float | None:
    """The largest foreign share of several GPUs; None where no driver says."""
    found = [share for view in views if (share := view.foreign_share()) is not None]
    return max(found, default=None)


def foreign_percent(samples: Sequence[tuple[int, float]], own: Collection[int] | None) -> float:
    """Percent of other processes together, of (pid, percent of the GPU's time) pairs.

    Processes that have ended do not count. `own` is None where the driver names pids of another namespace, as
    in a container; then the busiest process is taken for this one.
    """
    if own is None:
        return sum(percent for _, percent in samples) - max((percent for _, percent in samples), default=0)
    return sum(percent for pid, percent in samples if pid not in own and psutil.pid_exists(pid))


def own_bytes(running: Sequence[tuple[int, int | None]], pids: frozenset[int]) -> int | None:
    """Of (pid, bytes) pairs the one that is this process.

    In a container the driver names pids of the host; then the process is known only when it is alone.
    """
    for pid, used in running:
        if pid in pids:
            return used
    return running[0][1] if len(running) == 1 else None


def own_pids() -> frozenset[int]:
    """This process's numbers in all pid namespaces that it can see."""
    pids = {os.getpid()}
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return frozenset(pids)
    for line in lines:
        if line.startswith("NSpid:"):
            pids.update(int(pid) for pid in line.split()[1:])
    return frozenset(pids)
