"""The user's own cache folder: what can be made again, and is kept to save time."""

import os
from pathlib import Path


def user_cache(*parts: str) -> Path:
    """$XDG_CACHE_HOME/quantbench or ~/.cache/quantbench, and `parts` below it."""
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache").joinpath("quantbench", *parts)


def keep(path: Path, content: bytes) -> None:
    """Write a file in one step; a cache that cannot be written costs time, nothing else."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}")
        partial.write_bytes(content)
        partial.replace(path)
    except OSError:
        pass
