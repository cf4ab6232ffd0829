"""How kernels are launched here: in the interpreter or compiled, with or without dependent launch.

Programmatic dependent launch lets a kernel's blocks be placed while its predecessor still runs; each kernel
waits for the predecessor's results itself, before its first read of anything that is not a parameter.
"""

import os
from functools import cache

import torch


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
