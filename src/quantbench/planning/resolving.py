"""Turns each 'auto' of the settings into what will really be used."""

import re
import sys
from collections.abc import Iterable

from quantbench.driver import gpu_count
from quantbench.errors import DeviceError, TaskError, UsageError, unknown
from quantbench.methods import METHODS
from quantbench.methods.names import own_name, own_names
from quantbench.sandbox.pool import open_sandbox
from quantbench.settings import Engine, LoadSettings, PlaceSettings, RunSettings
from quantbench.tasks import TASKS, Task, check_data, data_of, load_task
from quantbench.tasks.problem import Grading

AT = " @ "  # between method and engine in the name of a row

DTYPES = {
    "float16": "float16",
    "fp16": "float16",
    "half": "float16",
    "bfloat16": "bfloat16",
    "bf16": "bfloat16",
    "float32": "float32",
    "fp32": "float32",
}
AUTO = ("auto",)
BASELINES = ("fp16", "bf16", "fp32")


def resolve_methods(settings: RunSettings) -> RunSettings:
    """The settings with methods and baseline by their own names; UsageError for one that there is not."""
    changed = settings
    if settings.methods != AUTO:
        changed = changed.changed(methods=own_names(settings.methods, METHODS))
    if settings.baseline is None or settings.models or AT in settings.baseline:  # may be the name of a row
        return changed
    return changed.changed(baseline=own_name(settings.baseline, METHODS))


def resolve_device(name: str) -> str:
    """'auto', 'cpu', 'cuda' or 'cuda:N' as 'cpu' or 'cuda:N'; DeviceError when it is not there."""
    if name == "cpu" or (name == "auto" and not nvidia_driver()):
        return "cpu"
    if name != "auto" and not re.fullmatch(r"cuda(:\d+)?", name):
        raise DeviceError(f"unknown device '{name}'; choose from: auto, cpu, cuda, cuda:0, cuda:1, ...")
    count = gpus()
    if name == "auto":
        return "cuda:0" if count else "cpu"
    if count == 0:
        import torch

        raise DeviceError(
            f"device '{name}' was asked for, but torch {torch.__version__} sees no CUDA GPU; "
            "use --device cpu, or install a CUDA build of torch and check `nvidia-smi`"
        )
    index = int(name.partition(":")[2] or 0)
    if index >= count:
        raise DeviceError(f"device '{name}' is not there; this machine has cuda:0 to cuda:{count - 1}")
    return f"cuda:{index}"


def gpus() -> int:
    """GPUs that torch sees, asked of the driver where torch is not here yet."""
    if "torch" not in sys.modules and (found := gpu_count()) is not None:
        return found
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def nvidia_driver() -> bool:
    """Whether an NVIDIA driver answers; much cheaper than importing torch to ask."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:  # NVML's errors have no common base in every version
        return False
    return True


def resolve_dtype(name: str, device: str) -> str:
    """The activations' type: float16 on CUDA, float32 on the CPU unless asked otherwise."""
    if name == "auto":
        return "float16" if device.startswith("cuda") else "float32"
    if name not in DTYPES:
        raise UsageError(unknown("dtype", name, ["auto", *DTYPES]))
    return DTYPES[name]


def resolve_tasks(settings: RunSettings) -> tuple[Task, ...]:
    """'auto' is the built-in task for the built-in model, none for random weights, HumanEval otherwise."""
    names = settings.evaluation.own_tasks
    if not settings.evaluation.tasks:
        raise UsageError(f"--tasks names no task; choose from: {', '.join(TASKS)}, none")
    for alone in ("none", "auto"):
        if alone in names and len(settings.evaluation.tasks) > 1:
            raise UsageError(f"--tasks {alone} stands alone; remove it or the other tasks")
    if names == ("none",):
        names = ()
    for name in names:
        if name not in (*TASKS, "auto"):
            raise TaskError(unknown("task", name, [*TASKS, "none"]))
    if names == ("auto",):
        if settings.model.startswith("random:"):
            return ()
        names = ("quickeval",) if settings.model == "builtin" else ("humaneval",)
    data = settings.evaluation.task_data
    check_data(data, (*names, *settings.evaluation.harness_tasks))
    tasks = tuple(load_task(name, data_of(name, data)) for name in names)
    check_tests(tasks)
    if tasks:
        with open_sandbox(unsafe=settings.evaluation.unsafe_no_sandbox):
            pass
    return tasks


def check_tests(tasks: Iterable[Task]) -> None:
    """TaskError for problems that have inputs and a reference alone, as some HumanEval+ files."""
    for task in tasks:
        tested = task.grading is not Grading.PROGRAMS
        untested = [problem.task_id for problem in task.problems if not (tested or problem.test)]
        if untested:
            raise TaskError(
                f"{len(untested)} problems have no test, as {untested[0]}; give a file that has 'test', "
                "or use --tasks humaneval+, which compares with the reference's answers"
            )


def resolve_baseline(baseline: str | None, methods: tuple[str, ...]) -> str:
    """The named baseline, or the first of fp16, bf16, fp32 that is run, or the first method."""
    if baseline is not None:
        if baseline not in methods:
            raise UsageError(f"the baseline '{baseline}' is not among --methods; add it there")
        return baseline
    return next((name for name in BASELINES if name in methods), methods[0])


def load_of(settings: RunSettings) -> LoadSettings:
    """How a run's weights are loaded, as a trial has it; its engine is still to be set.

    Of several formats of the KV cache the last; a trial has its own.
    """
    shared = {name: getattr(settings.load, name) for name in PlaceSettings.model_fields}
    kv = settings.load.kv[-1].kv if settings.load.kv else None
    return LoadSettings(**shared, engine=Engine.NATIVE, kv=kv)
