"""The folder that an export makes: complete or not there at all.

Everything is written into a folder beside it, which takes its name at the end and is removed otherwise.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from quantbench.errors import StoreError


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A folder to write into, which is `folder` after the block; StoreError where that cannot be.

    `folder` may be empty, but must not hold anything.
    """
    try:
        if folder.is_dir() and any(folder.iterdir()):
            raise StoreError(f"'{folder}' is not empty; remove it or choose another --output-dir")
        if folder.exists() and not folder.is_dir():
            raise StoreError(f"'{folder}' is a file; choose another --output-dir")
        work = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
        work.mkdir(parents=True)
    except OSError as error:
        raise unwritable(folder, error) from error
    try:
        yield work
        sync(work)
        work.replace(folder)
    except OSError as error:
        raise unwritable(folder, error) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def sync(folder: Path) -> None:
    """Wait until the disk has every file: a full one may say so only now."""
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())


def unwritable(folder: Path, error: OSError) -> StoreError:
    """The sentence for a folder that the disk has no room for, or that it refuses."""
    return StoreError(
        f"cannot write '{folder}' ({error.strerror or error}); free some space or choose another --output-dir"
    )
