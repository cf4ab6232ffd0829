"""Options that would change nothing in this run: each is refused with the reason, none is ignored.

Only what the user named is looked at; a default that plays no part is no mistake.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from quantbench.errors import UsageError
from quantbench.methods import METHODS
from quantbench.settings import RunSettings, flag
from quantbench.sources import ModelSource
from quantbench.tasks import Task

OF_TASKS = (
    "task_data",
    "limit",
    "batch_size",
    "max_new_tokens",
    "completions_per_problem",
    "temperature",
    "top_p",
    "unsafe_no_sandbox",
)
POSITIONS = ("max_position_embeddings", "n_positions", "max_seq_len")


def check_unused(
    settings: RunSettings, tasks: tuple[Task, ...], *, engines: Mapping[str, str], device: str
) -> None:
    """UsageError for the first option that was named and cannot have any effect; `engines` by method."""
    for name, reason in (*_of_the_model(settings, engines, device), *_of_tasks(settings, tasks)):
        if name in settings.given and getattr(settings, name) is not False:
            raise UsageError(f"{flag(name)} has no effect here: {reason}; leave it out")


def check_revision(settings: RunSettings) -> None:
    """UsageError for a revision of what has none, before anything is opened."""
    if settings.revision is not None and is_local(settings.model):
        raise UsageError(
            f"--revision has no effect here: '{settings.model}' is not a model of the hub; leave it out"
        )


def is_local(model: str) -> bool:
    """Whether a model is opened without the hub."""
    if model == "builtin" or model.startswith(("random:", ".", "/", "~")):
        return True
    try:
        return Path(model).exists()
    except (OSError, ValueError):
        return False


def _of_the_model(
    settings: RunSettings, engines: Mapping[str, str], device: str
) -> Iterator[tuple[str, str]]:
    if "transformers" not in engines.values():
        yield "trust_remote_code", f"'{settings.model}' runs on the native engine, which runs no model's code"
    if "native" not in engines.values():
        yield "exact_prompts", f"'{settings.model}' runs with transformers, which never drops bits of prompts"
    if device.startswith("cuda"):
        yield "exact_prompts", "only a CPU's kernels would drop bits of prompts"
    if all(METHODS[name].fixes_activations(engine, device) for name, engine in engines.items()):
        yield "dtype", f"{', '.join(engines)} on {device} compute in the type of their weights"


def _of_tasks(settings: RunSettings, tasks: tuple[Task, ...]) -> Iterator[tuple[str, str]]:
    if not tasks:
        yield from ((name, "no task is run (see --tasks)") for name in OF_TASKS)
    if settings.temperature == 0 and settings.top_p < 1:
        yield "top_p", "decoding is greedy without --temperature"
    if not tasks and settings.text is None:
        yield "floor", "there is neither a task nor a --text whose noise it could measure"
    elif settings.temperature > 0:
        yield "floor", "the noise of answers drawn with --temperature is that of their seeds"


def check_positions(settings: RunSettings, source: ModelSource) -> None:
    """UsageError for lengths that the user asked for and the model has no positions for."""
    most = positions_of(source.config)
    if most is None:
        return
    longest, new = max(settings.prompt_tokens), settings.new_tokens
    if settings.given & {"prompt_tokens", "new_tokens"} and longest + new > most:
        raise UsageError(
            f"--prompt-tokens {longest} with --new-tokens {new} needs {longest + new} positions, but "
            f"'{settings.model}' has {most}; ask for at most {most} together"
        )
    if settings.max_new_tokens is not None and settings.max_new_tokens >= most:
        raise UsageError(
            f"--max-new-tokens {settings.max_new_tokens} leaves no room for a prompt: '{settings.model}' has "
            f"{most} positions; ask for fewer"
        )


def positions_of(config: dict[str, Any]) -> int | None:
    """Positions that a configuration names; None where it names none."""
    for name in POSITIONS:
        value = config.get(name)
        if isinstance(value, int) and value > 0:
            return value
    return None
