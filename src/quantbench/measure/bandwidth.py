"""How fast this process can read: the device's memory, and a buffer as large as the weights of a decode step.

Weights that a cache holds are read faster than memory, so a step is held against a buffer of its own size.
Each size is read in several ways, memory also before the speed trials, and the best rate counts: a limit that
a model outruns is none. Buffers are given back at once; the peak resident set that they leave behind is reset
by `MemoryMeter`, which is made after the first reading and finished before the second.
"""

import mmap
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from quantbench.records import Bandwidth, Reading
from quantbench.units import show_bytes

if TYPE_CHECKING:
    import torch

Read = Callable[[], object]
CACHES = 3  # times the last-level cache
SMALLEST, LARGEST = 1 << 27, 1 << 30  # bytes
UNKNOWN = 1 << 28  # bytes where the system names no cache
PASSES = 5
LEAST_PASS = 1 << 25  # bytes of one timed pass: a small buffer is read several times over
CUDA_BYTES, CUDA_PASSES = 1 << 31, 10
COLUMNS = 4096


def measure_bandwidth(device: str, *, when: str = "before", step_bytes: int | None = None) -> Bandwidth:
    """Rates of the device's memory and, where it is known what a step reads, of a buffer of that size."""
    memory = memory_bytes(device)
    sizes = [memory] + ([step_bytes] if step_bytes and step_bytes < memory else [])
    measure = cuda_rates if device.startswith("cuda") else cpu_rates
    readings = tuple(
        Reading(size_bytes=size, way=way, when=when, bytes_per_s=rate)
        for size in sizes
        for way, rate in measure(size, device)
    )
    return summary(readings, memory, step_bytes)


def joined(first: Bandwidth, second: Bandwidth, step_bytes: int) -> Bandwidth:
    """Both measurements as one: the best of each size."""
    readings = (*first.readings, *second.readings)
    return summary(readings, max(reading.size_bytes for reading in readings), step_bytes)


def summary(readings: tuple[Reading, ...], memory: int, step_bytes: int | None) -> Bandwidth:
    """The best rates; a step that reads at least as much as the largest buffer is held against that."""
    best = max((r for r in readings if r.size_bytes >= memory / 2), key=lambda r: r.bytes_per_s)
    near = [r for r in readings if step_bytes and r.size_bytes <= step_bytes and r.size_bytes < memory / 2]
    ways = len({reading.way for reading in readings})
    return Bandwidth(
        read_bytes_per_s=best.bytes_per_s,
        method=f"{best.way} over {show_bytes(best.size_bytes)}, the best of {ways} ways",
        step_bytes_per_s=max([best, *near], key=lambda r: r.bytes_per_s).bytes_per_s if step_bytes else None,
        readings=readings,
    )


def memory_bytes(device: str) -> int:
    """Size of a buffer that no cache holds."""
    if not device.startswith("cuda"):
        return buffer_bytes(last_level_cache(), psutil.virtual_memory().available)
    import torch

    return min(CUDA_BYTES, torch.cuda.mem_get_info(device)[0] // 4)


def best_rate(read: Read, size: int, passes: int, clock: Callable[[], float]) -> float:
    """Bytes a second of the fastest of `passes` calls that each read `size` bytes."""
    times = []
    for _ in range(passes):
        start = clock()
        read()
        times.append(clock() - start)
    return size / min(times)


def cpu_rates(
    size: int, device: str = "cpu", clock: Callable[[], float] = time.perf_counter
) -> list[tuple[str, float]]:
    """(way, bytes a second) with torch's present number of threads."""
    import torch

    size = max(1, size // (4 * COLUMNS)) * 4 * COLUMNS
    memory = mmap.mmap(-1, size)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        memory.madvise(mmap.MADV_HUGEPAGE)  # fewer page faults while it is written
    rates = _rates(torch.frombuffer(memory, dtype=torch.float32).view(-1, COLUMNS), clock)
    memory.close()
    return rates


def _rates(values: "torch.Tensor", clock: Callable[[], float]) -> list[tuple[str, float]]:
    values.fill_(1.0)
    times, rates = max(1, LEAST_PASS // values.nbytes), []
    for way, read in cpu_ways(values).items():
        read()  # warm: what it allocates, and what a cache can hold
        rates.append((way, best_rate(partial(again, read, times), values.nbytes * times, PASSES, clock)))
    return rates


def again(read: Read, times: int) -> None:
    """Read several times, so that the clock's own time does not count."""
    for _ in range(times):
        read()


def cpu_ways(values: "torch.Tensor") -> dict[str, Read]:
    """Ways of reading float32 [rows, COLUMNS] whole; our own kernels' where they were compiled."""
    import torch

    vector = torch.ones(COLUMNS)
    ways: dict[str, Read] = {
        "float32 matrix-vector product": lambda: torch.mv(values, vector),
        "float32 sum": values.sum,
    }
    from quantbench.engine.cpu.build import load_kernels
    from quantbench.engine.cpu.linear import CpuLinear, declare
    from quantbench.engine.parameters import Matrix
    from quantbench.weights.formats import FloatWeight

    if (library := load_kernels().kernels) is not None:
        declare(library)
        halves = FloatWeight(values.view(torch.bfloat16))  # widened by a shift on every CPU
        product = CpuLinear(library, Matrix(weight=halves, bias=None, parts=(("probe", len(values)),)))
        row = torch.ones(1, 2 * COLUMNS)
        ways["own product with bfloat16 weights"] = lambda: product(row)
    return ways


def cuda_rates(size: int, device: str) -> list[tuple[str, float]]:
    """(way, bytes a second), several reads in one captured graph, timed by the device's own events."""
    import torch

    with torch.cuda.device(device):
        free = torch.cuda.mem_get_info(device)[0] // 2
        rows = max(1, min(size, free) // (2 * COLUMNS))
        halves = torch.ones(rows, COLUMNS, dtype=torch.float16, device=device)
        floats, vector = halves.view(torch.float32), torch.ones_like(halves[0])
        ways: dict[str, Read] = {
            "float32 sum": floats.sum,
            "float16 maximum": halves.amax,
            "float16 matrix-vector product": partial(torch.mv, halves, vector),
        }
        rates = [(way, graph_rate(read, halves.nbytes)) for way, read in ways.items()]
        ways.clear()
        del halves, floats
        torch.cuda.empty_cache()
    return rates


def graph_rate(read: Read, size: int) -> float:
    """Bytes a second of the best of several runs of a graph that reads `size` bytes a few times."""
    import torch

    times = max(1, min(20, (1 << 30) // size))
    read()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        kept = [read() for _ in range(times)]
    start = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    end = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    best = 0.0
    for _ in range(CUDA_PASSES):
        start.record()
        graph.replay()
        end.record()
        end.synchronize()
        best = max(best, size * times / (start.elapsed_time(end) / 1000))
    del kept
    return best


def buffer_bytes(cache: int, available: int) -> int:
    """CACHES times the cache within SMALLEST and LARGEST, at most a quarter of what is free, whole rows."""
    size = min(max(CACHES * cache, SMALLEST) if cache else UNKNOWN, LARGEST, available // 4)
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
