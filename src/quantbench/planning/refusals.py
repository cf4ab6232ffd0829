"""What cannot work, found before anything is loaded: each a UsageError that names the fix."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from quantbench.errors import UsageError
from quantbench.methods import METHODS
from quantbench.settings import Engine, KvName, RunSettings, flag
from quantbench.settings.commands import ExportSettings
from quantbench.sources import ModelSource, load_tokenizer
from quantbench.tasks import Task

MOST_TEXT_BYTES = 100_000_000
POSITIONS = ("max_position_embeddings", "n_positions", "max_seq_len")


def check_machine(settings: RunSettings) -> None:
    """UsageError for more threads than cores, and for a text that cannot be read."""
    threads, cores = settings.load.threads, os.cpu_count() or 1
    if threads is not None and threads > cores:
        raise UsageError(f"--threads {threads} is more than this machine's {cores} cores")
    texts = {
        "--text": settings.distance.text,
        "--perplexity": settings.likelihood.perplexity,
        "--calibration": settings.load.calibration,
    }
    for name, text in texts.items():
        if text is not None:
            check_text(Path(text), name)


def check_text(path: Path, name: str) -> None:
    """UsageError for a file of this option that is not there, too large, or not in UTF-8."""
    try:
        if not path.is_file():
            raise UsageError(f"no file '{path}'; give {name} a text file")
        size = path.stat().st_size
        if not 0 < size <= MOST_TEXT_BYTES:
            raise UsageError(
                f"'{path}' has {size:,} bytes; give {name} 1 byte to {MOST_TEXT_BYTES // 10**6} MB"
            )
        path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read the text '{path}' ({error}); give {name} a file in UTF-8") from error


def check_methods(methods: tuple[str, ...]) -> None:
    """UsageError for an empty list."""
    if not methods:
        raise UsageError(f"no methods given; choose from: {', '.join(METHODS)}")


def check_available(methods: tuple[str, ...], device: str) -> None:
    """UsageError with the reason and the fix for a method that cannot run here."""
    for name in methods:
        if reason := METHODS[name].unavailable(device):
            raise UsageError(f"method '{name}' cannot run here: {reason}")


def check_revision(settings: RunSettings | ExportSettings) -> None:
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


def check_once(models: Sequence[str]) -> None:
    """UsageError for a model that is given twice, be it by another path."""
    seen: dict[str, str] = {}
    for model in models:
        first = seen.setdefault(where(model), model)
        if model != first:
            raise UsageError(f"'{model}' is the same model as '{first}'; name each model once")
    if len(seen) < len(models):
        twice = max(models, key=models.count)
        raise UsageError(f"'{twice}' is given twice; name each model once")


def where(model: str) -> str:
    """A model's whole path, links followed; its name where it is no path that exists."""
    try:
        path = Path(model).expanduser()
        return str(path.resolve()) if path.exists() else model
    except (OSError, RuntimeError, ValueError):
        return model


def check_readable(settings: RunSettings, source: ModelSource, tasks: tuple[Task, ...]) -> None:
    """UsageError when there is text to read and the model has no tokenizer."""
    text = settings.distance.text or settings.likelihood.perplexity
    asked = [*(task.name for task in tasks), *settings.evaluation.harness_tasks]
    if (asked or text) and load_tokenizer(source) is None:
        what = ", ".join(asked) or text
        raise UsageError(
            f"'{settings.model}' has no tokenizer, so it cannot read {what}; use --tasks none without a text"
        )


def check_own_engine(settings: RunSettings, runs: Sequence[tuple[str, Engine]]) -> None:
    """UsageError where an option of our engine is given and any (method, engine) has another one."""
    others = [(method, engine) for method, engine in runs if engine is not Engine.NATIVE]
    reasons = {
        "batch_invariant": "whose answers depend on their batch",
        "kv": "whose cache has formats of its own",
    }
    for name, reason in reasons.items():
        if others and getattr(settings.load, name) not in (False, (), (KvName.NONE,)):
            raise UsageError(
                f"{flag(name)} needs quantbench's engine, but '{settings.model}' is to run under "
                f"{', '.join(method for method, _ in others)} with {others[0][1].shown}, {reason}; leave "
                f"{flag(name)} out"
            )


def check_positions(settings: RunSettings, source: ModelSource) -> None:
    """UsageError for lengths that the user asked for and the model has no positions for."""
    most = positions_of(source.config)
    if most is None:
        return
    longest, new = max(settings.speed.prompt_tokens), settings.speed.new_tokens
    if settings.given & {"prompt_tokens", "new_tokens"} and longest + new > most:
        raise UsageError(
            f"--prompt-tokens {longest} with --new-tokens {new} needs {longest + new} positions, but "
            f"'{settings.model}' has {most}; ask for at most {most} together"
        )
    answer = settings.generation.max_new_tokens
    if answer is not None and answer >= most:
        raise UsageError(
            f"--max-new-tokens {answer} leaves no room for a prompt: '{settings.model}' has "
            f"{most} positions; ask for fewer"
        )


def positions_of(config: dict[str, Any]) -> int | None:
    """Positions that a configuration names; None where it names none."""
    for name in POSITIONS:
        value = config.get(name)
        if isinstance(value, int) and value > 0:
            return value
    return None
