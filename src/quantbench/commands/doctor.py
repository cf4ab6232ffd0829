"""`quantbench doctor`: what works on this machine, and the command that fixes the rest."""

import os
import shutil
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from quantbench.errors import QuantbenchError
from quantbench.output import Output
from quantbench.settings.commands import DoctorSettings
from quantbench.units import show_bytes

Finding = tuple[str, bool, str]  # what, whether it works, what was seen or how to fix it


def doctor(settings: DoctorSettings, out: Output, err: Console) -> int:
    """Check GPU, libraries, sandbox and task data: what works, and how to fix the rest.

    Exit status: 0, whatever was found; a missing GPU is no error.

    Example: quantbench doctor
    """
    parts = (check_torch, check_gpu, check_kernels, check_sandbox, check_engines, check_tasks, check_disk)
    findings = [finding for part in parts for finding in part()]
    listed = [{"part": name, "works": works, "found": found} for name, works, found in findings]
    out.give({"findings": listed}, lambda console: show_findings(findings, console))
    return 0


def show_findings(findings: Sequence[Finding], console: Console) -> None:
    """One line a finding."""
    table = Table("", "Part", "Found", box=None, pad_edge=False)
    for name, works, found in findings:
        table.add_row("[green]ok[/]" if works else "[yellow]--[/]", name, Text(found))
    console.print(table)


def check_torch() -> list[Finding]:
    import torch

    names = ("transformers", "safetensors", "tokenizers")
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in names)
    return [("torch", True, f"{torch.__version__}, {torch.get_num_threads()} CPU threads; {versions}")]


def check_gpu() -> list[Finding]:
    import torch

    if not torch.cuda.is_available():
        return [("GPU", False, "none that torch can see; everything runs on the CPU with --device cpu")]
    found: list[Finding] = []
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        found.append((f"cuda:{index}", True, f"{properties.name}, {show_bytes(properties.total_memory)}"))
    return found


def check_kernels() -> list[Finding]:
    """What the engine's kernels need: a C++ compiler on a CPU, Triton on a GPU."""
    from quantbench.engine.cpu.build import load_kernels

    built = load_kernels()
    cpu = "compiled" if built.kernels else f"plain torch, much slower: {built.reason}"
    return [("CPU kernels", built.kernels is not None, cpu), *check_gpu_kernels()]


def check_gpu_kernels() -> list[Finding]:
    """One finding a GPU; without any, only whether Triton is there."""
    import torch

    try:
        version = f"triton {metadata.version('triton')}"
    except metadata.PackageNotFoundError:
        return [("GPU kernels", False, "Triton is missing: `pip install triton` on a GPU; a CPU needs none")]
    if not torch.cuda.is_available():
        return [("GPU kernels", True, version)]
    from quantbench.engine.cuda.support import triton_unsupported_reason

    found: list[Finding] = []
    for index in range(torch.cuda.device_count()):
        reason = triton_unsupported_reason(torch.device("cuda", index))
        told = version if reason is None else f"plain torch, much slower: {reason}"
        found.append((f"GPU kernels, cuda:{index}", reason is None, told))
    return found


def check_sandbox() -> list[Finding]:
    from quantbench.sandbox.pool import diagnose

    return [(f"sandbox: {name}", works, finding) for name, works, finding in diagnose()]


def check_engines() -> list[Finding]:
    """Which engines behind servers are found, and how to install the others."""
    from quantbench.serving.finding import INSTALLABLE, find_engine

    def describe(engine: str) -> str:
        found = find_engine(engine, None)
        return f"{found.version}, {found.path}"

    return [attempt(f"engine: {name}", lambda name=name: describe(name)) for name in INSTALLABLE]  # type: ignore[misc]


def check_tasks() -> list[Finding]:
    """Which tasks have their data here; nothing is downloaded for it."""
    from quantbench.tasks import TASKS

    os.environ["HF_HUB_OFFLINE"] = "1"
    found: list[Finding] = []
    for name in TASKS:
        found.append(attempt(f"task: {name}", lambda name=name: describe_task(name)))  # type: ignore[misc]
    return found


def describe_task(name: str) -> str:
    """What a task has here; TaskError says why it has nothing."""
    from quantbench.tasks import load_task

    task = load_task(name)
    return task.note or f"{len(task.problems)} problems, the published data"


def attempt(name: str, describe: Callable[[], str]) -> Finding:
    try:
        return (name, True, describe())
    except QuantbenchError as error:
        return (name, False, str(error))


def check_disk() -> list[Finding]:
    usage = shutil.disk_usage(Path.cwd())
    return [("disk", usage.free > 1_000_000_000, f"{show_bytes(usage.free)} free here")]
