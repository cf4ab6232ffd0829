"""Where trials will run: devices side by side, or a Ray cluster. Refused early where it cannot work.

A trial's device is then cuda:0 or cpu, whichever of the devices it gets: its id does not say where it ran.
"""

import os
import re

from quantbench.errors import DeviceError, UsageError
from quantbench.planning.resolving import resolve_device
from quantbench.planning.spreading import check_devices
from quantbench.settings import Executor, RunSettings, devices_of

AUTO = ("auto",)
GPU = r"cuda(:\d+)?"
LEAST_CORES = 2  # of a lane: one launches kernels, one is for everything else


def place(settings: RunSettings) -> RunSettings:
    """The settings with every 'auto' of their execution resolved, and the device that each trial has."""
    asked = settings.execution
    if asked.executor is Executor.RAY:
        return place_on_ray(settings)
    if settings.load.spread is not None:
        check_devices(settings, gpu_count())
        check_alike(devices_of(settings.load), "--spread's GPUs")
        return settings.changed(device="cuda:0")
    if not asked.devices:
        if asked.allow_shared:
            raise UsageError("--allow-shared has no effect here: no --devices are given; leave it out")
        return settings
    if "device" in settings.given:
        raise UsageError("--device and --devices are both given; leave one out")
    names = named_devices(asked.devices)
    on_gpu = names[0].startswith("cuda")
    if asked.allow_shared:
        return settings.changed(devices=names, device="cuda:0" if on_gpu else "cpu")
    if not on_gpu and len(names) > 1:
        raise UsageError(
            "trials side by side on one CPU share its memory, which changes their speeds; name one device, "
            "or add --allow-shared"
        )
    check_cores(settings, len(names))
    return settings.changed(devices=names, device="cuda:0" if on_gpu else "cpu")


def check_cores(settings: RunSettings, lanes: int) -> None:
    """UsageError where lanes would share cores."""
    cores = len(os.sched_getaffinity(0))
    least = max(LEAST_CORES, settings.load.threads or 0)
    if lanes * least > cores:
        raise UsageError(
            f"{lanes} trials side by side need {least} cores each, and this machine has {cores}; name fewer "
            "--devices, or add --allow-shared"
        )


def named_devices(asked: tuple[str, ...]) -> tuple[str, ...]:
    """The devices by their own names; DeviceError for one that is not there or unlike the others."""
    if asked == AUTO:
        return all_gpus()
    names = tuple("cpu" if name.startswith("cpu") else resolve_device(name) for name in asked)
    if len({name == "cpu" for name in names}) > 1:
        raise UsageError("--devices names a CPU and GPUs; figures of both do not belong in one table")
    if names[0] == "cpu":
        return asked
    if len(set(names)) < len(names):
        raise UsageError(f"--devices names {max(names, key=names.count)} twice; name it once")
    check_alike(names)
    return names


def all_gpus() -> tuple[str, ...]:
    """Every GPU that torch sees."""
    count = gpu_count()
    if count == 0:
        raise DeviceError("--devices auto finds no GPU; leave it out, or use --device cpu")
    names = tuple(f"cuda:{index}" for index in range(count))
    check_alike(names)
    return names


def gpu_count() -> int:
    """GPUs that torch sees."""
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def check_alike(names: tuple[str, ...], what: str = "--devices") -> None:
    """DeviceError for GPUs of several kinds: methods would be compared on unlike ones."""
    import torch

    kinds = {name: torch.cuda.get_device_properties(name).name for name in names}
    if len(set(kinds.values())) > 1:
        told = ", ".join(f"{name} is a {kind}" for name, kind in kinds.items())
        raise DeviceError(f"{what} are of several kinds: {told}; name those of one kind")


def check_address(address: str) -> None:
    """UsageError for an address that is none: Ray would start a cluster of its own for some of them."""
    if address != "auto" and not re.fullmatch(r"(ray://)?[^\s/:]+:\d{1,5}", address):
        raise UsageError(
            f"--ray-address '{address}' is no address of a cluster; write auto, ray://HOST:PORT, or HOST:PORT"
        )


def place_on_ray(settings: RunSettings) -> RunSettings:
    """The device of every trial on the cluster: cuda:0 where each is given a GPU, else the CPU.

    Where GPUs are named, this machine need not have any: the nodes have them.
    """
    asked, spread = settings.execution, settings.load.spread
    check_address(asked.ray_address)
    if asked.devices or asked.allow_shared:
        raise UsageError("--devices and --allow-shared are of this machine; with Ray use --gpus-per-trial")
    device, gpus = settings.load.device, asked.gpus_per_trial
    if spread is not None:
        gpus = spread if gpus is None else gpus
        check_devices(settings, gpus, "--gpus-per-trial gives each trial")
    if device == "auto" and gpus is not None:
        device = "cuda" if gpus else "cpu"
    if not re.fullmatch(GPU, device):
        device = resolve_device(device)
    if gpus is None:
        gpus = 0 if device == "cpu" else 1
    if bool(gpus) is (device == "cpu"):
        raise UsageError(
            f"--gpus-per-trial {gpus} does not go with the device {device}; name both, or neither"
        )
    return settings.changed(device="cuda:0" if gpus else "cpu", gpus_per_trial=gpus)
