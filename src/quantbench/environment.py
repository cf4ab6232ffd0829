"""What the figures were measured on: machine, driver, libraries, commit, command line. Reads only."""

import os
import platform
import subprocess
import sys
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

from quantbench.records import Environment

PACKAGES = (
    "torch",
    "triton",
    "transformers",
    "tokenizers",
    "safetensors",
    "numpy",
    "bitsandbytes",
    "torchao",
)


def describe_environment(*, device: str, command: str | None, threads: int | None = None) -> Environment:
    """The environment of this process; the GPU's part is filled for a CUDA device."""
    gpu = describe_gpu(device) if device.startswith("cuda") else {}
    return Environment(
        platform=platform.platform(),
        python=platform.python_version(),
        cpu=cpu_name(),
        cores=os.cpu_count() or 1,
        memory_bytes=psutil.virtual_memory().total,
        packages=package_versions(),
        commit=product_commit(),
        command=command,
        threads=threads,
        **gpu,
    )


def look_up() -> None:
    """Ask for what is the same for this process and all its forks, so that none of them has to."""
    for ask in (cpu_name, package_versions, product_commit, platform.platform):
        ask()


@cache
def cpu_name() -> str:
    """The processor's model name as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
        if names:
            return names[0]
    except OSError:
        pass
    return platform.processor() or platform.machine()


@cache
def package_versions() -> dict[str, str]:
    """Installed versions of the libraries that can change a figure; absent ones are left out."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


@cache
def product_commit() -> str | None:
    """The git commit of a source checkout, `+` appended when files differ from it; None when installed."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        run = _git(root, "rev-parse", "--short=12", "HEAD")
        changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return f"{run}+" if changed else run


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=5, check=True
    )
    return done.stdout.strip()


def describe_gpu(device: str) -> dict[str, Any]:
    """Name, memory, driver and CUDA version of a torch CUDA device, clocks and power from NVML."""
    import torch

    index = torch.device(device).index or 0
    properties = torch.cuda.get_device_properties(index)
    facts: dict[str, Any] = {
        "gpu": properties.name,
        "gpu_memory_bytes": properties.total_memory,
        "cuda": torch.version.cuda,
    }
    facts.update(_nvml_facts(str(properties.uuid)))
    return facts


def _nvml_facts(uuid: str) -> dict[str, Any]:
    """Driver, clocks and power state of the GPU with this UUID; NVML ignores CUDA_VISIBLE_DEVICES."""
    try:
        import pynvml

        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")
        extra = {
            "sm_clock_mhz": pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_SM),
            "memory_clock_mhz": pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_MEM),
            "power_state": pynvml.nvmlDeviceGetPerformanceState(handle),
            "utilization_percent": pynvml.nvmlDeviceGetUtilizationRates(handle).gpu,
            "memory_used_bytes": pynvml.nvmlDeviceGetMemoryInfo(handle).used,
        }
        return {"driver": pynvml.nvmlSystemGetDriverVersion(), "extra": extra}
    except Exception as error:  # NVML's errors have no common base in every version
        return {"extra": {"nvml": f"not available: {error}"}}


def command_line() -> str:
    """How this process was started, for the record."""
    program = Path(sys.argv[0])
    name = program.parent.name if program.name == "__main__.py" else program.name
    return " ".join([name, *sys.argv[1:]])
