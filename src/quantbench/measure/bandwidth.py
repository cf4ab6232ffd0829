"""How fast this process can read the device's memory: the limit of decoding at batch 1.

A buffer several times the last-level cache is written once and then read by a matrix-vector product (CPU)
or a sum (CUDA); the best pass counts. The buffer is given back before it returns; the peak resident set that
it leaves behind is reset by `MemoryMeter`.
"""

import mmap
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from quantbench.records import Bandwidth
from quantbench.units import show_bytes

if TYPE_CHECKING:
    import torch

CACHES = 3  # times the last-level cache
SMALLEST, LARGEST = 1 << 28, 1 << 30  # bytes
PASSES = 5
CUDA_BYTES, CUDA_PASSES = 1 << 31, 10
COLUMNS = 4096


def measure_bandwidth(device: str) -> Bandwidth:
    """Read bandwidth of the device's memory in bytes a second."""
    return cuda_bandwidth(device) if device.startswith("cuda") else cpu_bandwidth()


def best_rate(read: Callable[[], object], size: int, passes: int, clock: Callable[[], float]) -> float:
    """Bytes a second of the fastest of `passes` calls that each read `size` bytes."""
    times = []
    for _ in range(passes):
        start = clock()
        read()
        times.append(clock() - start)
    return size / min(times)


def cpu_bandwidth(clock: Callable[[], float] = time.perf_counter) -> Bandwidth:
    """With torch's present number of threads."""
    import torch

    size = buffer_bytes(last_level_cache(), psutil.virtual_memory().available)
    memory = mmap.mmap(-1, size)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        memory.madvise(mmap.MADV_HUGEPAGE)  # fewer page faults while it is written
    rate = _product_rate(torch.frombuffer(memory, dtype=torch.float32).view(-1, COLUMNS), clock)
    memory.close()
    threads = torch.get_num_threads()
    return Bandwidth(
        read_bytes_per_s=rate,
        method=f"float32 matrix-vector product over {show_bytes(size)}, {threads} threads, best of {PASSES}",
    )


def _product_rate(matrix: "torch.Tensor", clock: Callable[[], float]) -> float:
    import torch

    vector = torch.ones(COLUMNS)
    matrix.fill_(1.0)
    return best_rate(lambda: torch.mv(matrix, vector), matrix.nbytes, PASSES, clock)


def cuda_bandwidth(device: str) -> Bandwidth:
    """Sum over float32, timed by the device's own events."""
    import torch

    size = min(CUDA_BYTES, torch.cuda.mem_get_info(device)[0] // 4)
    with torch.cuda.device(device):
        values = torch.ones(size // 4, dtype=torch.float32, device=device)
        values.sum()
        rate = max(_sum_rate(values) for _ in range(CUDA_PASSES))
        del values
        torch.cuda.empty_cache()
    return Bandwidth(
        read_bytes_per_s=rate,
        method=f"sum over {show_bytes(size)} of float32, best of {CUDA_PASSES}",
    )


def _sum_rate(values: "torch.Tensor") -> float:
    import torch

    start = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    end = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    start.record()
    values.sum()
    end.record()
    end.synchronize()
    return float(values.nbytes / (start.elapsed_time(end) / 1000))


def buffer_bytes(cache: int, available: int) -> int:
    """CACHES times the cache within SMALLEST and LARGEST, at most a quarter of what is free, whole rows."""
    size = min(max(CACHES * cache, SMALLEST), LARGEST, available // 4)
    row = 4 * COLUMNS
    return max(1, size // row) * row


def last_level_cache(root: Path = Path("/sys/devices/system/cpu/cpu0/cache")) -> int:
    """Bytes of the largest cache that the system names; 0 where it names none."""
    sizes = [0]
    for path in root.glob("index*/size"):
        text = path.read_text().strip()
        unit = {"K": 1 << 10, "M": 1 << 20}.get(text[-1:], 1)
        digits = text.rstrip("KM")
        sizes.append(int(digits) * unit if digits.isdigit() else 0)
    return max(sizes)
