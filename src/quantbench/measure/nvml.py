"""What the NVIDIA driver says about one GPU: this process's memory and the energy it has used.

NVML numbers GPUs without regard to CUDA_VISIBLE_DEVICES, so a device is found by its UUID. Everything is
None where NVML is missing or does not support it.
"""

import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any


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


def total_joules(views: Sequence[DriverView]) -> float | None:
    """Energy of several GPUs together; None where one of them does not say."""
    found = [view.joules() for view in views]
    return None if None in found else sum(value for value in found if value is not None)


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
