"""From what the user asked to a Plan: resolves every 'auto', and refuses early what cannot work.

Everything that would make all trials fail is found here, before anything is loaded: an unknown model,
method, task or device, a model that does not fit into memory, a sandbox that cannot contain programs.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from quantbench.errors import DeviceError, TaskError, UsageError, unknown
from quantbench.methods import METHODS, check_fits
from quantbench.plan import Plan, Trial
from quantbench.sandbox.pool import open_sandbox
from quantbench.sources import ModelSource, load_tokenizer, open_source
from quantbench.tasks import load_task

DTYPES = {
    "float16": "float16",
    "fp16": "float16",
    "half": "float16",
    "bfloat16": "bfloat16",
    "bf16": "bfloat16",
    "float32": "float32",
    "fp32": "float32",
}
BASELINES = ("fp16", "bf16", "fp32")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """What `quantbench run` was asked for; 'auto' and None are still open."""

    model: str = "builtin"
    methods: tuple[str, ...] = ("fp16", "int8", "int4")
    baseline: str | None = None
    tasks: tuple[str, ...] = ("auto",)
    task_data: str | None = None
    revision: str | None = None
    engine: str = "auto"
    dtype: str = "auto"
    device: str = "auto"
    trust_remote_code: bool = False
    seed: int = 0
    threads: int | None = None
    limit: int | None = None
    batch_size: int = 64
    max_new_tokens: int | None = None
    completions_per_problem: int = 1
    temperature: float = 0.0
    top_p: float = 1.0
    batch_sizes: tuple[int, ...] = (1,)
    prompt_tokens: tuple[int, ...] = (128,)
    new_tokens: int = 128
    speed_budget_s: float = 5.0
    unsafe_no_sandbox: bool = False
    text: str | None = None
    rounds: int = 1
    floor: bool = True
    output_dir: Path | None = None


def build_plan(settings: RunSettings) -> tuple[Plan, ModelSource]:
    """The plan of a run and its opened model; a QuantbenchError for anything that cannot work."""
    check_values(settings)
    check_methods(settings.methods)
    device = resolve_device(settings.device)
    check_available(settings.methods, device)
    baseline = resolve_baseline(settings)
    dtype = resolve_dtype(settings.dtype, device)
    tasks = resolve_tasks(settings)
    source = open_source(settings.model, revision=settings.revision, seed=settings.seed)
    engine = resolve_engine(settings, source)
    check_engine(settings.methods, engine)
    if (tasks or settings.text) and load_tokenizer(source) is None:
        raise UsageError(
            f"'{settings.model}' has no tokenizer, so it cannot read {', '.join(tasks) or settings.text}; "
            "use --tasks none without --text"
        )
    ordered = (baseline, *(m for m in dict.fromkeys(settings.methods) if m != baseline))
    common = make_trial(settings, device=device, dtype=dtype, engine=engine, tasks=tasks)
    trials = compared(tuple(common(method) for method in ordered))
    for method in ordered:
        check_fits(METHODS[method], source, device)
    if tasks and settings.floor and settings.temperature == 0:
        trials += compared((trials[0], *floors_of(trials[0])))[1:]
    trials += later_rounds(trials[: len(ordered)], settings.rounds)
    return Plan(trials=trials, baseline=baseline), source


def make_trial(
    settings: RunSettings, *, device: str, dtype: str, engine: str, tasks: tuple[str, ...]
) -> Callable[[str], Trial]:
    """A function from a method's name to its Trial; everything else is the same for all methods."""

    def trial(method: str) -> Trial:
        return Trial(
            model=settings.model,
            method=method,
            device=device,
            revision=settings.revision,
            engine=engine,
            dtype=dtype,
            trust_remote_code=settings.trust_remote_code,
            seed=settings.seed,
            threads=settings.threads,
            tasks=tasks,
            task_data=settings.task_data,
            limit=settings.limit,
            batch_size=settings.batch_size,
            max_new_tokens=settings.max_new_tokens,
            completions_per_problem=settings.completions_per_problem,
            temperature=settings.temperature,
            top_p=settings.top_p,
            unsafe_no_sandbox=settings.unsafe_no_sandbox,
            text=settings.text,
            batch_sizes=settings.batch_sizes,
            prompt_tokens=settings.prompt_tokens,
            new_tokens=settings.new_tokens,
            speed_budget_s=settings.speed_budget_s,
        )

    return trial


def compared(trials: tuple[Trial, ...]) -> tuple[Trial, ...]:
    """The same trials, the first one as the reference whose predictions the others are compared with."""
    first, *others = trials
    if not first.tasks and first.text is None:
        return trials
    return (first, *(replace(trial, reference=first.id) for trial in others))


def floor_of(baseline: Trial) -> Trial:
    """The baseline once more in another batch shape: what changes without any change of method."""
    return replace(baseline, role="floor", batch_size=max(1, baseline.batch_size // 2 - 1))


def floors_of(baseline: Trial) -> tuple[Trial, ...]:
    """The reruns of the baseline that show the noise: another batch shape, and on a GPU once as bf16."""
    other_shape = floor_of(baseline)
    bf16 = METHODS.get("bf16")
    if baseline.method != "fp16" or not baseline.device.startswith("cuda"):
        return (other_shape,)
    if bf16 is None or bf16.unavailable(baseline.device):
        return (other_shape,)
    return (other_shape, replace(baseline, method="bf16", role="floor"))


def later_rounds(trials: tuple[Trial, ...], rounds: int) -> tuple[Trial, ...]:
    """Speed trials of the passes after the first, every other pass backwards: A B C, C B A, A B C."""
    found: list[Trial] = []
    for number in range(1, rounds):
        order = trials[::-1] if number % 2 else trials
        found += [
            replace(trial, role="round", round=number, tasks=(), text=None, task_data=None, reference=None)
            for trial in order
        ]
    return tuple(found)


def check_values(settings: RunSettings) -> None:
    """UsageError for a number that makes no sense."""
    positive = {
        "--batch-size": settings.batch_size,
        "--completions-per-problem": settings.completions_per_problem,
        "--new-tokens": settings.new_tokens - 1,
        "--rounds": settings.rounds,
        "--limit": settings.limit,
        "--max-new-tokens": settings.max_new_tokens,
        "--threads": settings.threads,
        "--speed-budget": settings.speed_budget_s,
    }
    for option, value in positive.items():
        if value is not None and value <= 0:
            least = 2 if option == "--new-tokens" else 1
            raise UsageError(f"{option} must be at least {least}")
    if settings.text is not None and not Path(settings.text).is_file():
        raise UsageError(f"no file '{settings.text}'; give --text a text file")
    if not settings.batch_sizes or not settings.prompt_tokens:
        raise UsageError("--batch-sizes and --prompt-tokens need at least one number, as in 1,8,64")
    if min(*settings.batch_sizes, *settings.prompt_tokens) < 1:
        raise UsageError("--batch-sizes and --prompt-tokens must be positive numbers, as in 1,8,64")
    if not 0 < settings.top_p <= 1 or settings.temperature < 0:
        raise UsageError("--top-p must lie in (0, 1] and --temperature must not be negative")
    if settings.completions_per_problem > 1 and settings.temperature == 0:
        raise UsageError("several completions per problem need sampling; add --temperature 0.8, for example")


def check_methods(methods: tuple[str, ...]) -> None:
    """UsageError for an empty list or a name that is not in METHODS."""
    if not methods:
        raise UsageError(f"no methods given; choose from: {', '.join(METHODS)}")
    for name in methods:
        if name not in METHODS:
            raise UsageError(unknown("method", name, METHODS))


def check_available(methods: tuple[str, ...], device: str) -> None:
    """UsageError with the reason and the fix for a method that cannot run here."""
    for name in methods:
        if reason := METHODS[name].unavailable(device):
            raise UsageError(f"method '{name}' cannot run here: {reason}")


def resolve_device(name: str) -> str:
    """'auto', 'cpu', 'cuda' or 'cuda:N' as 'cpu' or 'cuda:N'; DeviceError when it is not there."""
    if name == "cpu" or (name == "auto" and not nvidia_driver()):
        return "cpu"
    if name != "auto" and not re.fullmatch(r"cuda(:\d+)?", name):
        raise DeviceError(f"unknown device '{name}'; choose from: auto, cpu, cuda, cuda:0, cuda:1, ...")
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return "cuda:0" if count else "cpu"
    if count == 0:
        raise DeviceError(
            f"device '{name}' was asked for, but torch {torch.__version__} sees no CUDA GPU; "
            "use --device cpu, or install a CUDA build of torch and check `nvidia-smi`"
        )
    index = int(name.partition(":")[2] or 0)
    if index >= count:
        raise DeviceError(f"device '{name}' is not there; this machine has cuda:0 to cuda:{count - 1}")
    return f"cuda:{index}"


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


def resolve_tasks(settings: RunSettings) -> tuple[str, ...]:
    """'auto' is the built-in task for the built-in model, none for random weights, HumanEval otherwise."""
    names = tuple(name for name in settings.tasks if name != "none")
    if names == ("auto",):
        if settings.model.startswith("random:"):
            return ()
        names = ("quickeval",) if settings.model == "builtin" else ("humaneval",)
    for name in names:
        load_task(name, settings.task_data)
    if settings.task_data and len(names) != 1:
        raise TaskError("--task-data belongs to one task; name it with --tasks")
    if names:
        with open_sandbox(unsafe=settings.unsafe_no_sandbox):
            pass
    return names


def resolve_engine(settings: RunSettings, source: ModelSource) -> str:
    """The native engine where it knows the architecture, transformers otherwise."""
    if settings.engine not in ("auto", "native", "transformers"):
        raise UsageError(unknown("engine", settings.engine, ["auto", "native", "transformers"]))
    if settings.engine == "transformers":
        return "transformers"
    from quantbench.engine.config import unsupported

    reason = unsupported(source.config)
    if reason is None:
        return "native"
    if settings.engine == "native":
        raise UsageError(
            f"the native engine cannot run '{settings.model}': {reason}; use --engine transformers"
        )
    return "transformers"


def check_engine(methods: tuple[str, ...], engine: str) -> None:
    """UsageError with the reason and the fix for a method that the resolved engine cannot run."""
    for name in methods:
        if reason := METHODS[name].refuses_engine(engine):
            raise UsageError(f"method '{name}' cannot run here: {reason}")


def resolve_baseline(settings: RunSettings) -> str:
    """The named baseline, or the first of fp16, bf16, fp32 that is run, or the first method."""
    if settings.baseline is not None:
        if settings.baseline not in settings.methods:
            raise UsageError(f"the baseline '{settings.baseline}' is not among --methods; add it there")
        return settings.baseline
    return next((name for name in BASELINES if name in settings.methods), settings.methods[0])
