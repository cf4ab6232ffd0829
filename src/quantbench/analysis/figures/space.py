"""Where a trial's memory went: weights, KV cache, workspace, the allocator's pool, the driver.

Each part is measured by itself, or is what two measured figures leave between them, or is not known; the
parts that are known add up to the process's peak. Nothing is estimated.
"""

from dataclasses import dataclass

from quantbench.records import Memory, MemoryKind

NO_POOL = "the C library does not say what it keeps"
NO_GPU = "no GPU is used"
NOT_RESIDENT = "the parts measured alone are more than the peak: not all weights were resident"
NOT_SEEN = "not measured"
AND_LATER = "the rest of the peak resident set, libraries loaded with the model included"
NO_DRIVER = "the driver does not say"


@dataclass(frozen=True, slots=True)
class MemoryPart:
    """One part of a process's memory at its peak; without bytes `how` says why they are not known."""

    name: str
    nbytes: int | None
    how: str


def memory_parts(memory: Memory, weight_bytes: int | None) -> tuple[MemoryPart, ...]:
    """The parts of a trial's memory, in the order in which they are shown."""
    weights = MemoryPart("weights", weight_bytes, "storages of the loaded model, after a run")
    cache = MemoryPart(
        "KV cache",
        memory.cache_bytes,
        NOT_SEEN if memory.cache_bytes is None else "of the largest batch and length that ran",
    )
    known = (weight_bytes or 0) + (memory.cache_bytes or 0)
    if memory.kind is MemoryKind.CUDA:
        return (weights, cache, *_cuda_parts(memory, known))
    before = memory.baseline_process_bytes
    loaded = MemoryPart("interpreter and libraries", before, "resident before the model was loaded")
    return (
        weights,
        cache,
        _between("workspace", memory.process_bytes, known, before or 0, AND_LATER),
        MemoryPart("allocator's pool", None, NO_POOL),
        MemoryPart("driver", None, NO_GPU),
        loaded,
    )


def _cuda_parts(memory: Memory, known: int) -> tuple[MemoryPart, ...]:
    allocated, reserved = memory.peak_allocated_bytes, memory.peak_reserved_bytes
    return (
        _between("workspace", allocated, known, 0, "the rest of the allocator's peak in use"),
        _between("allocator's pool", reserved, allocated, 0, "held by the allocator beyond its peak in use"),
        _between(
            "driver", memory.process_bytes, reserved, 0, "context and kernels: the process less the pool"
        ),
    )


def _between(name: str, whole: int | None, part: int | None, more: int, how: str) -> MemoryPart:
    """What one measured figure has beyond others."""
    if whole is None or part is None:
        return MemoryPart(name, None, NO_DRIVER)
    rest = whole - part - more
    return MemoryPart(name, rest, how) if rest >= 0 else MemoryPart(name, None, NOT_RESIDENT)
