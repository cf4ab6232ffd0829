"""Refuses a model that is larger than the memory, before it is loaded, with the arithmetic."""

from collections.abc import Callable, Mapping
from pathlib import Path

import psutil

from quantbench.errors import DeviceError
from quantbench.methods.method import Method
from quantbench.methods.sizes import largest_matrix
from quantbench.methods.stored import StoredMethod
from quantbench.sources import ModelSource
from quantbench.sources.gguf_source import GgufSource
from quantbench.sources.layout import parameter_count
from quantbench.units import show_bytes, show_count

HALF_BYTES = 2  # of a float beside packed weights on CUDA
STAGED_BYTES = 2  # of a weight in the checkpoint: the largest matrix is held once more while it is placed
CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
CGROUP_USES = ("/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory/memory.usage_in_bytes")


def expected_bytes(method: Method, source: ModelSource, device: str) -> int | None:
    """Weight bytes to expect, None where they are not known; of `stored` on a CPU those in its files.

    Scales that files share or quantize once more are held open, which is a few per cent more. On CUDA a GGUF
    file's blocks keep their bytes and its floats get 16 bits; other formats may have no kernel there and be
    held as floats, so that files do not tell.
    """
    if isinstance(method, StoredMethod):
        if not device.startswith("cuda"):
            return getattr(source, "tensor_bytes", None)
        return source.tensor_bytes_of(HALF_BYTES) if isinstance(source, GgufSource) else None
    return method.expected_bytes_of(source.config)


def check_fits(
    method: Method,
    source: ModelSource,
    device: str,
    *,
    others: Mapping[str, Method],
    available: Callable[[str], int],
) -> None:
    """DeviceError when the weights and the largest matrix beside them exceed the device's free memory.

    `others` are the methods among which a smaller one is looked for. Nothing is checked where the layout is
    not known. KV cache and workspace come on top: they depend on what is asked.
    """
    weights = expected_bytes(method, source, device)
    if weights is None:
        return
    staged = STAGED_BYTES * largest_matrix(source.config)
    free = available(device)
    if weights + staged <= free:
        return
    parameters = parameter_count(source.config) or 1
    fitting = [
        name
        for name, other in others.items()
        if (smaller := other.expected_bytes_of(source.config)) is not None and smaller + staged <= free
    ]
    advice = f"use --methods {','.join(fitting)} or" if fitting else "use"
    raise DeviceError(
        f"'{source.name}' needs {show_bytes(weights + staged)} ({show_count(parameters)} parameters x "
        f"{weights / parameters:.3g} bytes, and {show_bytes(staged)} for its largest matrix while loading) "
        f"but {device} has {show_bytes(free)} free; {advice} a smaller model or a larger device"
    )


def available_bytes(device: str) -> int:
    """Free memory of the device; on the CPU what the system and the control group still give."""
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.mem_get_info(device)[0])
    free = psutil.virtual_memory().available
    for limit, used in zip(CGROUP_LIMITS, CGROUP_USES, strict=True):
        allowed, taken = read_number(limit), read_number(used)
        if allowed is not None and taken is not None:
            free = min(free, max(0, allowed - taken))
    return free


def read_number(path: str) -> int | None:
    """The number in a file; None where there is no such file or it says 'max'."""
    try:
        return int(Path(path).read_text())
    except (OSError, ValueError):
        return None
