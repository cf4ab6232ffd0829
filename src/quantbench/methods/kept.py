"""What a calibration found, kept from a method's first trial for later passes, which time its speed alone.

A later pass would run the same text through the same model again, for GPTQ minutes. Only a trial that is told
so reads (`Keeping.READ`), and what it says of loading is not shown; the first one always measures. An entry's
name is a digest of all that its content follows from, this package's code included; a digest of the content
stands in front of it. All entries together take at most MOST bytes, the oldest go first, and a day ends each.
"""

import hashlib
import io
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import fields
from enum import Enum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantbench.settings import LoadSettings
from quantbench.sources import ModelSource
from quantbench.user_cache import user_cache

if TYPE_CHECKING:
    from quantbench.weights.formats import Weight

MOST = 1 << 30
OLDEST_S = 24 * 3600.0
DIGEST = 32  # bytes before the content
SUFFIX = ".kept"
CODE = ("*.py", "*.cpp", "*.hpp", "*.cu", "*.cuh", "*.txt")

Plain = Any  # dictionaries, lists, numbers, strings and tensors


class Keeping(Enum):
    """What a trial does with entries."""

    NOTHING = 0
    WRITE = 1
    READ = 2


_now: ContextVar[Keeping] = ContextVar("keeping", default=Keeping.NOTHING)


@contextmanager
def keeping(what: Keeping) -> Iterator[None]:
    """Let what is loaded meanwhile write or read entries."""
    token = _now.set(what)
    try:
        yield
    finally:
        _now.reset(token)


def kept_or_made(
    source: ModelSource, settings: LoadSettings, what: object, make: Callable[[], Plain]
) -> tuple[Plain, bool]:
    """What `make` gives or gave for the same model, settings and `what`; and whether it was kept.

    `what` tells by its repr all that `make` follows from beside model and settings.
    """
    if _now.get() is Keeping.NOTHING or source.revision is None:
        return make(), False
    path = user_cache("calibration") / (name_of(source, settings, what) + SUFFIX)
    if _now.get() is Keeping.READ and (found := read(path)) is not None:
        return found, True
    made = make()
    write(path, made)
    return made, False


def digest_of(value: object) -> str:
    """SHA-256 of what tells a value by its repr: token ids, settings."""
    return hashlib.sha256(repr(value).encode()).hexdigest()


def packed_weight(weight: "Weight") -> list[Plain]:
    """A weight of feedback's formats as its format's name and its fields."""
    return [type(weight).__name__, *(getattr(weight, field.name) for field in fields(weight))]  # type: ignore[arg-type]


def opened_weight(packed: list[Plain]) -> "Weight":
    """The inverse."""
    from quantbench.weights.formats import BlockWeight, Int4DoubleWeight

    formats = {form.__name__: form for form in (BlockWeight, Int4DoubleWeight)}
    return formats[packed[0]](*packed[1:])


def name_of(source: ModelSource, settings: LoadSettings, what: object) -> str:
    """A digest of all that an entry follows from."""
    import torch

    device = torch.device(settings.device)
    threads = settings.threads or torch.get_num_threads()
    card = torch.cuda.get_device_name(device) if device.type == "cuda" else threads
    told = (
        source.name,
        source.revision,
        files_of(source.name),
        json.dumps(settings.model_dump(mode="json"), sort_keys=True),
    )
    whole = (told, what, str(card), torch.__version__, code_digest())
    return digest_of(whole)[:32]


def files_of(model: str) -> list[tuple[str, int, int]]:
    """Name, size and time of change of a local model's files: its revision is a digest of samples of them."""
    path = Path(model)
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    found = ((file.name, file.stat()) for file in files if file.is_file())
    return [(name, stat.st_size, stat.st_mtime_ns) for name, stat in found]


@cache
def code_digest() -> str:
    """Of this package's own files, so that another version of it takes nothing over."""
    digest = hashlib.sha256()
    folder = Path(__file__).parent.parent
    for file in sorted(file for pattern in CODE for file in folder.rglob(pattern)):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def read(path: Path) -> Plain | None:
    """An entry's content; None where there is none, or it is not what was written."""
    import torch

    try:
        data = path.read_bytes()
    except OSError:
        return None
    if hashlib.sha256(memoryview(data)[DIGEST:]).digest() != data[:DIGEST]:
        return None
    return torch.load(io.BytesIO(memoryview(data)[DIGEST:]), weights_only=True)


def write(path: Path, content: Plain) -> None:
    """An entry, in one step; where it cannot be written, the time of a later pass is all that is lost."""
    import torch

    if sum(storages(content).values()) > MOST:
        return
    buffer = io.BytesIO()
    torch.save(content, buffer)
    partial = path.with_suffix(f".{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            file.write(hashlib.sha256(buffer.getbuffer()).digest())
            file.write(buffer.getbuffer())
        partial.replace(path)
        make_room(path.parent)
    except OSError:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def storages(content: Plain) -> dict[int, int]:
    """Address -> bytes of what holds the content's tensors: those that share it count once."""
    if isinstance(content, dict | list):
        parts = content.values() if isinstance(content, dict) else content
        return {place: size for part in parts for place, size in storages(part).items()}
    if not hasattr(content, "untyped_storage"):
        return {}
    held = content.untyped_storage()
    return {held.data_ptr(): held.nbytes()}


def make_room(folder: Path) -> None:
    """Remove entries older than OLDEST_S, and the oldest ones beyond MOST bytes."""
    entries = [(file.stat(), file) for file in folder.iterdir()]
    room = MOST
    for stat, file in sorted(entries, key=lambda entry: -entry[0].st_mtime_ns):
        room -= stat.st_size
        if room < 0 or time.time() - stat.st_mtime > OLDEST_S:
            file.unlink(missing_ok=True)
