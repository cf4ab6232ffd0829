"""Refuses a model that is larger than the memory, before it is loaded, with the arithmetic.

What is counted is what a trial takes at the least: its weights, and beside them its largest matrix while it
is loaded, or the KV cache and the workspace of its headline while it runs. Larger points of the sweep, and
tasks, find out by themselves, and say so.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from quantbench import driver
from quantbench.decoding.spreading import SHARE
from quantbench.errors import DeviceError
from quantbench.methods.floats import FloatMethod
from quantbench.methods.method import Method
from quantbench.methods.sizes import coded_bytes, headline_bytes, largest_matrix
from quantbench.methods.stored import StoredMethod
from quantbench.settings import KvFormat, LoadSettings, PlaceSettings, SpeedSettings, devices_of
from quantbench.sources import ModelSource
from quantbench.sources.gguf_source import GgufSource
from quantbench.sources.sizes import count_stored
from quantbench.units import listed, show_bytes, show_count

HALF_BYTES = 2  # of a float beside packed weights on CUDA
STAGED_BYTES = 2  # of a weight in the checkpoint: the largest matrix is held once more while it is placed
WIDTHS = {"float32": 4}  # bytes of an activation; 2 of every other type
CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
CGROUP_USES = ("/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory/memory.usage_in_bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a model is to run, and the rows and lengths of what is sure to run there."""

    devices: tuple[str, ...]
    width: int = 2  # bytes of an activation
    kv: KvFormat | None = None  # of cached keys and values
    rows: int = 1
    prompt_tokens: int = 1
    new_tokens: int = 1

    @property
    def told(self) -> str:
        """'cuda:0 has'; 'cuda:0 and cuda:1 have'."""
        return f"{listed(self.devices)} {'has' if len(self.devices) == 1 else 'have'}"


def place_of(load: PlaceSettings, speed: SpeedSettings) -> Place:
    """The place of a trial, whose headline is the first shape of its sweep."""
    return Place(
        devices=devices_of(load),
        width=WIDTHS.get(load.dtype, 2),
        kv=load.kv if isinstance(load, LoadSettings) else None,
        rows=speed.batch_sizes[0],
        prompt_tokens=speed.prompt_tokens[0],
        new_tokens=speed.new_tokens,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """Bytes that a model takes at the least."""

    weights: int
    staged: int  # the largest matrix, held once more while it is placed
    cache: int  # keys and values of the headline
    workspace: int  # its widest activation or its logits

    @property
    def total(self) -> int:
        """At the peak of loading or that of running, whichever is higher."""
        return self.weights + max(self.staged, self.cache + self.workspace)

    def told(self, parameters: int, place: Place) -> str:
        """The arithmetic in words."""
        staged = f"{show_bytes(self.staged)} for its largest matrix while loading" if self.staged else ""
        running = (
            f"{show_bytes(self.cache)} of KV cache for batch {place.rows} of "
            f"{place.prompt_tokens + place.new_tokens} positions with {show_bytes(self.workspace)} of "
            "workspace while running"
        )
        beside = f"the larger of {staged} and {running}" if staged else running
        return f"{show_count(parameters)} parameters x {self.weights / parameters:.3g} bytes, and {beside}"


def expected_bytes(method: Method, source: ModelSource, device: str) -> int | None:
    """Weight bytes to expect, None where they are not known; of `stored` on a CPU those in its files.

    Scales that files share or quantize once more are held open, which is a few per cent more. On CUDA a GGUF
    file's blocks keep their bytes and its floats get 16 bits; other formats may have no kernel there and be
    held as floats, so that files do not tell. Where no layout is known, floats are counted by the headers of
    the files.
    """
    if isinstance(method, StoredMethod):
        if not device.startswith("cuda"):
            return getattr(source, "tensor_bytes", None)
        return source.tensor_bytes_of(HALF_BYTES) if isinstance(source, GgufSource) else None
    known = method.expected_bytes_of(source.config)
    if known is None and isinstance(method, FloatMethod) and (values := count_stored(source)):
        return values * method.bytes_per_weight
    return known


def need_of(method: Method, source: ModelSource, place: Place) -> Need | None:
    """What the model takes under a method; None where its layout is not known."""
    weights = expected_bytes(method, source, place.devices[0])
    if weights is None:
        return None
    positions = place.prompt_tokens + place.new_tokens
    elements, workspace = headline_bytes(source.config, place.rows, positions, place.prompt_tokens)
    cache = elements * place.width if place.kv is None else coded_bytes(source.config, elements)
    staged = STAGED_BYTES * largest_matrix(source.config) if len(place.devices) == 1 else 0
    return Need(weights=weights, staged=staged, cache=cache, workspace=workspace * place.width)


def check_fits(
    method: Method,
    source: ModelSource,
    place: Place,
    *,
    others: Mapping[str, Method],
    available: Callable[[str], int],
    more: Callable[[], int] = lambda: 0,
) -> None:
    """DeviceError when what the model takes at the least exceeds the free memory of its place.

    `others` are the methods among which a smaller one is looked for; `more` tells how many GPUs a model under
    this method may be spread over here, 0 where it cannot. Nothing is checked where the layout is not known.
    """
    need = need_of(method, source, place)
    free = free_bytes(place, available)
    if need is None or need.total <= free:
        return
    smaller = {name: found for name, other in others.items() if (found := need_of(other, source, place))}
    advice = [f"use --methods {','.join(fit)}"] if (fit := fitting(smaller, free)) else []
    if need.weights + need.staged <= free:
        advice.append("begin --batch-sizes or --prompt-tokens with a smaller one")
    if len(place.devices) == 1 and (count := more()) > 1:
        advice.append(f"add --spread {count}")
    advice.append("take a smaller model or a larger device")
    share = f" ({SHARE:.0%} of it counts)" if len(place.devices) > 1 else ""
    parameters = count_stored(source) or 1
    raise DeviceError(
        f"'{source.name}' needs {show_bytes(need.total)} ({need.told(parameters, place)}) but {place.told} "
        f"{show_bytes(free)} free{share}; {' or '.join(advice)}"
    )


def fitting(needs: Mapping[str, Need], free: int) -> list[str]:
    """The names of what takes at most `free` bytes."""
    return [name for name, need in needs.items() if need.total <= free]


def free_bytes(place: Place, available: Callable[[str], int]) -> int:
    """Free memory of a place, of several GPUs the share that layers can fill."""
    free = sum(available(device) for device in place.devices)
    return free if len(place.devices) == 1 else int(SHARE * free)


def available_bytes(device: str) -> int:
    """Free memory of the device; on the CPU what the system and the control group still give."""
    if device.startswith("cuda"):
        index = int(device.partition(":")[2] or 0)
        if "torch" not in sys.modules and (known := driver.free_bytes(index)) is not None:
            return known  # asking torch would take some of it, and keep it
        import torch

        return int(torch.cuda.mem_get_info(device)[0])
    free = psutil.virtual_memory().available
    for limit, used in zip(CGROUP_LIMITS, CGROUP_USES, strict=True):
        allowed, taken = read_number(limit), read_number(used)
        if allowed is not None and taken is not None:
            free = min(free, max(0, allowed - taken))
    return free


def gpu_count() -> int:
    """GPUs that this process sees."""
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def read_number(path: str) -> int | None:
    """The number in a file; None where there is no such file or it says 'max'."""
    try:
        return int(Path(path).read_text())
    except (OSError, ValueError):
        return None
