"""Records for tests of analysis and report: the reference report's own figures, and variations of them.

The reference has 0.35, 0.32 and 0.28 on HumanEval's 164 problems: 57, 52 and 46 solved. Every repetition,
environment and single outcome is made up around its figures.
"""

import random
from collections.abc import Iterable, Sequence
from typing import Any

from quantbench.kernels import named_kernels
from quantbench.plan import Trial, trial_from_dict
from quantbench.records import (
    Bandwidth,
    Completion,
    Environment,
    Failure,
    Memory,
    MemoryKind,
    ModelInfo,
    Outcome,
    Record,
    Size,
    SpeedPoint,
    Startup,
    TaskResult,
)

PARAMETERS = 500_000_000
SPREAD = (0.995, 0.998, 1.0, 1.0, 1.0, 1.001, 1.002, 1.004)  # of repetitions around their median
SCHEMES = {"fp16": ("W16A16", None), "int8": ("W8A16", None), "int4": ("W4A16", 128)}
KERNELS = {"fp16": "torch.mm", "int8": "w8a16_gemv", "int4": "w4a16_gemv"}
ENVIRONMENT = Environment(
    platform="Linux-6.8-x86_64",
    python="3.11.9",
    cpu="Test CPU",
    cores=8,
    memory_bytes=64_000_000_000,
    gpu="Test GPU",
    gpu_memory_bytes=80_000_000_000,
    driver="570.1",
    cuda="13.0",
    packages={"torch": "2.13.0", "tokenizers": "0.23.1"},
    commit="0123456789ab",
    command="quantbench run Qwen/Qwen2.5-0.5B --tasks humaneval",
)
CPU_ENVIRONMENT = ENVIRONMENT.model_copy(
    update={"gpu": None, "gpu_memory_bytes": None, "driver": None, "cuda": None}
)
MODEL = ModelInfo(
    name="Qwen/Qwen2.5-0.5B",
    revision="060db6499f32",
    architecture="Qwen2ForCausalLM",
    parameters=PARAMETERS,
    layers=24,
    hidden_size=896,
    vocab_size=151_936,
)


def speed_point(
    tokens_per_s: float,
    *,
    batch_size: int = 1,
    prompt_tokens: int = 128,
    spread: Sequence[float] = SPREAD,
    ttft_s: float = 0.03,
    passes: int = 8,
) -> SpeedPoint:
    """A point of `passes` processes whose median decode rate is `tokens_per_s` of the whole batch."""
    decode_s = 127 * batch_size / tokens_per_s
    return SpeedPoint(
        batch_size=batch_size,
        prompt_tokens=prompt_tokens,
        new_tokens=128,
        ttft_s=tuple(ttft_s * part for part in spread),
        decode_s=tuple(decode_s * part for part in spread),
        round_of=() if passes == 1 else passes_of(len(spread), passes, tokens_per_s),
        kv_bytes=2_400_000,
        step_weight_bytes=900_000_000,
    )


def passes_of(repetitions: int, passes: int, seed: float) -> tuple[int, ...]:
    """The pass of each repetition, in an order of its own for each speed: methods do not vary together."""
    order = random.Random(str(seed)).sample(range(repetitions), repetitions)
    return tuple(number % passes for number in order)


def task_result(
    solved: Iterable[int], problems: int = 164, *, task: str = "humaneval", per_problem: int = 1, **more: Any
) -> TaskResult:
    """A result in which the problems with these numbers are solved by every completion."""
    numbers = set(solved)
    completions = tuple(
        Completion(
            task_id=f"{task}/{number}",
            sample=sample,
            outcome=Outcome.PASSED if number in numbers else Outcome.FAILED,
            finish_reason="stop",
            tokens=40,
        )
        for number in range(problems)
        for sample in range(per_problem)
    )
    facts: dict[str, Any] = {
        "task": task,
        "protocol": "completion-evalplus-v1",
        "data_sha256": "53e6de8cb31dc96b8f53510f0ad0d6bb",
        "comparable": task == "humaneval",
        "problems": problems,
        "completions": completions,
        "samples_file": None,
        "sandbox": "namespaces",
        "generate_s": 12.5,
        "execute_s": 4.0,
        "generated_tokens": 40 * len(completions),
        "batch_size": 64,
    }
    return TaskResult(**(facts | more))


def record(method: str, *, device: str = "cuda:0", trial: Trial | None = None, **sections: Any) -> Record:
    """A record of a method with these sections; what is not given was not measured."""
    trial = trial or trial_from_dict(
        {"model": MODEL.name, "method": method, "device": device, "tasks": ("humaneval",)}
    )
    scheme, group_size = SCHEMES.get(method, ("W16A16", None))
    facts: dict[str, Any] = {
        "trial_id": trial.id,
        "created_at": "2026-01-01T00:00:00+00:00",
        "quantbench_version": "0.1.0",
        "trial": trial,
        "environment": ENVIRONMENT if device.startswith("cuda") else CPU_ENVIRONMENT,
        "model": MODEL,
        "scheme": scheme,
        "group_size": group_size,
        "engine": "native",
        "kernels": named_kernels({"linear": KERNELS.get(method, "torch.mm")}),
    }
    return Record(**(facts | sections))


def full_record(
    method: str, gigabytes: float, tokens_per_s: float, memory: float, solved: Iterable[int] | TaskResult
) -> Record:
    """A record with every figure of the main tables; sizes in GB."""
    weight_bytes = int(gigabytes * 1e9)
    result = solved if isinstance(solved, TaskResult) else task_result(solved)
    return record(
        method,
        startup=Startup(import_s=1.0, load_s=2.5),
        size=Size(
            weight_bytes=weight_bytes,
            checkpoint_bytes=1_000_000_000,
            effective_bits=8 * weight_bytes / PARAMETERS,
            quantized_parameters=0 if method == "fp16" else PARAMETERS,
        ),
        memory=Memory(kind=MemoryKind.CUDA, peak_allocated_bytes=int(memory * 1e9)),
        bandwidth=Bandwidth(read_bytes_per_s=4.4e12, method="sum of a large tensor"),
        speed=(speed_point(tokens_per_s),),
        tasks=(result,),
    )


def reference_records() -> list[Record]:
    """The reference's figures with single outcomes: what int8 loses and wins is known problem by problem."""
    int8 = [*range(3, 50), *range(100, 105)]  # 47 of fp16's 57, and 5 others: 10 against 5
    int4 = [*range(36), *range(110, 120)]  # 36 of fp16's 57, and 10 others: 21 against 10
    return [
        full_record("fp16", 1.00, 40.0, 1.20, range(57)),
        full_record("int8", 0.50, 32.0, 0.80, int8),
        full_record("int4", 0.25, 28.0, 0.50, int4),
    ]


def reference_totals() -> list[Record]:
    """The reference's figures as it gives them: totals, no single outcomes."""
    return [
        full_record("fp16", 1.00, 40.0, 1.20, task_result((), passed=57, completions=())),
        full_record("int8", 0.50, 32.0, 0.80, task_result((), passed=52, completions=())),
        full_record("int4", 0.25, 28.0, 0.50, task_result((), passed=46, completions=())),
    ]


def failed(record_: Record, message: str = "CUDA out of memory") -> Record:
    """The same record after a failure before anything was measured."""
    return record(
        record_.method,
        failure=Failure(stage="load", kind="OutOfMemoryError", message=message),
        model=None,
        engine=None,
        kernels=(),
    )


def other_trial(record_: Record, **changes: Any) -> Record:
    """The record as if its trial had had these settings."""
    trial = trial_from_dict(record_.trial.flat() | changes)
    return record_.model_copy(update={"trial_id": trial.id, "trial": trial})
