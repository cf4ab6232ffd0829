"""What a run was asked for, before anything is resolved, and whether the numbers make sense."""

from dataclasses import dataclass
from pathlib import Path

from quantbench.errors import UsageError


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
    batch_invariant: bool = False
    exact_prompts: bool = False
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
