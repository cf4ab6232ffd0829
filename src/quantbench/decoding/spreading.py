"""A transformers model over several GPUs, layer after layer, as accelerate's `device_map="auto"` puts it.

Nothing is left to the CPU or the disk: what does not lie on the GPUs is refused. The GPUs work one after
another, each on its own layers.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from quantbench.errors import DeviceError
from quantbench.units import listed

SHARE = 0.9  # of a GPU's free memory that weights may take; KV cache and activations have the rest


def spread_over(devices: Sequence[str], free: Callable[[str], int]) -> dict[str, Any]:
    """Arguments of `from_pretrained` that put a model on these GPUs alone; `free` tells bytes of one."""
    room = {int(device.partition(":")[2]): int(SHARE * free(device)) for device in devices}
    return {"device_map": "auto", "max_memory": room}


def free_bytes(device: str) -> int:
    """Free memory of a GPU."""
    import torch

    return int(torch.cuda.mem_get_info(device)[0])


def map_of(model: Any) -> dict[str, Any]:
    """Module -> number of its GPU, or 'cpu' or 'disk'; transformers keeps no map of a model on one device."""
    device = model.device
    return getattr(model, "hf_device_map", None) or {
        "": device.type if device.index is None else device.index
    }


def mapped_devices(model: Any) -> tuple[str, ...]:
    """The devices of a transformers model, in the order of its layers."""
    names = (f"cuda:{place}" if isinstance(place, int) else str(place) for place in map_of(model).values())
    return tuple(dict.fromkeys(names))


def check_on_gpus(name: str, device_map: Mapping[str, object], asked: Sequence[str]) -> None:
    """DeviceError for a model of which something lies elsewhere than on the GPUs."""
    numbers = {int(device.partition(":")[2]) for device in asked}
    left = [module for module, place in device_map.items() if place not in numbers]
    if left:
        raise DeviceError(
            f"'{name}' does not fit on {listed(asked)}: {len(left)} of its parts, the first is "
            f"'{left[0]}', would lie on the {device_map[left[0]]}; use more GPUs, or a method of fewer bits"
        )


def few_devices(used: Sequence[str], asked: Sequence[str]) -> tuple[str, ...]:
    """A sentence where fewer GPUs hold the model than were asked for."""
    if len(used) >= len(asked):
        return ()
    return (
        f"{len(asked)} GPUs were asked for, and accelerate put the whole model on {listed(used)}, as it "
        "keeps a layer and the largest matrix together",
    )
