"""Files of a results folder: replaced in one step, or lengthened and synced. Knows nothing of records."""

import json
import os
from io import FileIO
from pathlib import Path

from quantbench.errors import StoreError

BLOCK = 65_536  # bytes read at once when a line's start is looked for


def whole_lines(handle: FileIO) -> int:
    """Bytes up to the end of the last whole record; what only lacks its line end gets one.

    The handle has no buffer: what one could not write would be written again when it is closed.
    """
    end = handle.seek(0, os.SEEK_END)
    start = end
    while start > 0:
        before = max(0, start - BLOCK)
        handle.seek(before)
        block = handle.read(start - before)
        if (found := block.rfind(b"\n")) >= 0:
            start = before + found + 1
            break
        start = before
    if start == end:
        return end
    handle.seek(start)
    try:
        json.loads(handle.read())
    except (ValueError, RecursionError):
        return start
    write_at(handle, end, b"\n")
    return end + 1


def write_at(handle: FileIO, end: int, line: bytes) -> None:
    """Put `line` at `end`, the file's new last line, and wait until the disk has it."""
    handle.truncate(end)
    handle.seek(end)
    left = memoryview(line)
    while left:
        left = left[handle.write(left) :]
    os.fsync(handle.fileno())


def make_folder(path: Path) -> None:
    """A folder within the results folder, which itself is never made again; StoreError when it cannot be."""
    try:
        path.mkdir(exist_ok=True)
    except OSError as error:
        raise unwritable(path, error) from error


def write_atomically(path: Path, content: bytes, *, synced: bool = True) -> None:
    """Replace a file in one step; StoreError names the file when the disk is full or refuses.

    What need not outlive the machine's own end is not `synced`: waiting for the disk takes milliseconds.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as handle:
            handle.write(content)
            if synced:
                handle.flush()
                os.fsync(handle.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise unwritable(path, error) from error


def unwritable(path: Path, error: OSError) -> StoreError:
    """The sentence for a file of the folder that the disk has no room for, or that it refuses."""
    if not path.parent.exists():
        return StoreError(f"cannot write '{path}': its folder is gone; put it back, or choose another one")
    return StoreError(
        f"cannot write '{path}' ({error.strerror}); free some space or choose another --output-dir"
    )
