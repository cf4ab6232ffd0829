"""What a run was asked for, before anything is resolved, and whether the numbers make sense."""

import os
from dataclasses import dataclass
from pathlib import Path

from quantbench.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """What `quantbench run` was asked for; 'auto' and None are still open."""

    model: str = "builtin"
    methods: tuple[str, ...] = ("auto",)
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
    given: frozenset[str] = frozenset()  # the settings that the user named; the others are defaults


# option -> (least, most): beyond them a number is a slip of the pen, or a plan that never ends
RANGES: dict[str, tuple[int, int]] = {
    "seed": (-(2**63), 2**63 - 1),
    "threads": (1, 4096),
    "limit": (1, 10**9),
    "batch_size": (1, 65_536),
    "max_new_tokens": (1, 10**7),
    "completions_per_problem": (1, 100_000),
    "new_tokens": (2, 10**7),
    "rounds": (1, 1000),
}
LIST_RANGES = {"batch_sizes": (1, 65_536), "prompt_tokens": (1, 10**7)}
MOST_POINTS = 1000  # of a speed sweep
COOLEST, HOTTEST = 0.001, 100.0  # of sampling: colder is greedy, hotter is noise
LONGEST_BUDGET_S = 10**6
MOST_TEXT_BYTES = 100_000_000


def check_values(settings: RunSettings) -> None:
    """UsageError for a number that makes no sense, and for a text that cannot be read."""
    for name, (least, most) in RANGES.items():
        value = getattr(settings, name)
        if value is not None:
            _check_range(flag(name), value, least, most)
    for name, (least, most) in LIST_RANGES.items():
        values = getattr(settings, name)
        if not values:
            raise UsageError(f"{flag(name)} needs at least one number, as in 1,8,64")
        for value in values:
            _check_range(flag(name), value, least, most)
    if len(settings.batch_sizes) * len(settings.prompt_tokens) > MOST_POINTS:
        raise UsageError(f"--batch-sizes and --prompt-tokens make more than {MOST_POINTS} points; name fewer")
    cores = os.cpu_count() or 1
    if settings.threads is not None and settings.threads > cores:
        raise UsageError(f"--threads {settings.threads} is more than this machine's {cores} cores")
    _check_floats(settings)
    if settings.text is not None:
        _check_text(Path(settings.text))


def flag(name: str) -> str:
    """A setting as the command line spells it: `--speed-budget` for speed_budget_s."""
    return "--" + name.removesuffix("_s").replace("_", "-")


def _check_range(option: str, value: int, least: int, most: int) -> None:
    if value < least:
        raise UsageError(f"{option} must be at least {least}")
    if value > most:
        raise UsageError(f"{option} must be at most {most}")


def _check_floats(settings: RunSettings) -> None:
    if not 0 < settings.speed_budget_s <= LONGEST_BUDGET_S:
        raise UsageError("--speed-budget must be a positive number of seconds, as in 5")
    if not 0 < settings.top_p <= 1:
        raise UsageError("--top-p must lie in (0, 1], as in 0.95")
    if settings.temperature != 0 and not COOLEST <= settings.temperature <= HOTTEST:
        raise UsageError(f"--temperature must be 0 for greedy decoding, or lie in [{COOLEST}, {HOTTEST:g}]")
    if settings.completions_per_problem > 1 and settings.temperature == 0:
        raise UsageError("several completions per problem need sampling; add --temperature 0.8, for example")


def _check_text(path: Path) -> None:
    """The --text file is there, of a sensible size, and UTF-8."""
    try:
        if not path.is_file():
            raise UsageError(f"no file '{path}'; give --text a text file")
        size = path.stat().st_size
        if not 0 < size <= MOST_TEXT_BYTES:
            raise UsageError(
                f"'{path}' has {size:,} bytes; give --text 1 byte to {MOST_TEXT_BYTES // 10**6} MB"
            )
        path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read the text '{path}' ({error}); give --text a file in UTF-8") from error
