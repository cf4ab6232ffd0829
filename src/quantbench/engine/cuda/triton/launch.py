"""How kernels are launched here: on which device, interpreted or compiled, with or without dependent launch.

Programmatic dependent launch lets a kernel's blocks be placed while its predecessor still runs; each kernel
waits for the predecessor's results itself, before its first read of anything that is not a parameter.
"""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from functools import cache, partial
from typing import Any

import torch

asked: ContextVar[list[Any] | None] = ContextVar("asked", default=None)


def over(kernel: Any, grid: tuple[int, ...]) -> Callable[..., Any]:
    """`kernel[grid]`: what launches it. While `asked` holds a list it is only compiled, and put there."""
    found = asked.get()
    if found is None:
        return partial(kernel.run, grid=grid, warmup=False)

    def compile_only(*arguments: Any, **options: Any) -> None:
        found.append(kernel.run(*arguments, grid=grid, warmup=True, **options))

    return compile_only


def on_device(device: torch.device) -> AbstractContextManager[object]:
    """Makes a device the current one for a while; nothing for the CPU.

    Triton launches on the current device and its stream wherever the tensors are; streams, events, graphs and
    modules are made on it.
    """
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def interpreted() -> bool:
    """Whether Triton's interpreter runs the kernels (TRITON_INTERPRET=1), which has no inline assembly."""
    return os.environ.get("TRITON_INTERPRET", "0") == "1"


@cache
def dependent_launch(device: torch.device) -> bool:
    """Whether this device has programmatic dependent launch: compute capability 9.0 and later."""
    if interpreted() or device.type != "cuda":
        return False
    return torch.cuda.get_device_capability(device) >= (9, 0)


def next_power_of_2(value: int) -> int:
    return 1 << max(0, value - 1).bit_length()
