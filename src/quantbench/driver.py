"""What the NVIDIA driver says of the GPUs that torch would see, without importing torch: that takes seconds.

No context is made, so no GPU memory is taken. None wherever only torch can tell.
"""

import ctypes
import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

CUDA = re.compile(r"^cuda\b[^=\n]*= *(?:None|['\"](\d+)\.)", re.MULTILINE)  # in torch's version.py


def gpu_count() -> int | None:
    """GPUs that torch sees; None where it has to be asked itself."""
    built = cuda_of_torch()
    if built is None:
        return None
    if built == 0:
        return 0
    driver = driver_library()
    if driver is None:
        return 0
    version, count = ctypes.c_int(), ctypes.c_int()
    if driver.cuDriverGetVersion(ctypes.byref(version)) or version.value // 1000 < built:
        return None  # too old for it, perhaps
    return None if driver.cuDeviceGetCount(ctypes.byref(count)) else count.value


def free_bytes(index: int) -> int | None:
    """Free memory of 'cuda:INDEX'; None where the driver does not say."""
    uuid = uuid_of(index)
    if uuid is None:
        return None
    try:
        import pynvml

        pynvml.nvmlInit()
        return int(pynvml.nvmlDeviceGetMemoryInfo(pynvml.nvmlDeviceGetHandleByUUID(uuid)).free)
    except Exception:  # NVML's errors have no common base in every version
        return None


def cuda_of_torch() -> int | None:
    """The CUDA that torch was built for, its first number; 0 for none, None where its files do not say."""
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        return None
    try:
        found = CUDA.search((Path(spec.origin).parent / "version.py").read_text())
    except OSError:
        return None
    return None if found is None else int(found[1] or 0)


@cache
def driver_library() -> Any:
    """The driver's library, ready to be asked; None where there is none or it sees no GPU."""
    try:
        library = ctypes.CDLL("libcuda.so.1")
        return None if library.cuInit(0) else library
    except (OSError, AttributeError):
        return None


def uuid_of(index: int) -> str | None:
    """The name by which NVML knows 'cuda:INDEX'; None where the driver does not say."""
    driver = driver_library()
    device, raw = ctypes.c_int(), (ctypes.c_ubyte * 16)()
    if driver is None or driver.cuDeviceGet(ctypes.byref(device), index):
        return None
    ask = getattr(driver, "cuDeviceGetUuid_v2", driver.cuDeviceGetUuid)
    if ask(ctypes.byref(raw), device):
        return None
    text = bytes(raw).hex()
    return "GPU-" + "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))
