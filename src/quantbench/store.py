"""The results folder: records as JSON lines, samples, logs. Knows files, not what the figures mean.

records.jsonl keeps every record that was ever written; the newest one of a trial id counts. A record is
appended as one line and synced, whatever the size of the file; a line that a crash or a full disk cut off
is taken back. Every other file is replaced in one step.
"""

import fcntl
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import ValidationError

from quantbench.errors import StoreError
from quantbench.records import Record
from quantbench.schema import SCHEMA_VERSION, upgraded

RECORDS = "records.jsonl"
BLOCK = 65_536  # bytes read at once when a line's start is looked for


@dataclass(frozen=True, slots=True)
class DamagedLine:
    """A line of records.jsonl that was skipped: its 1-based number and why."""

    number: int
    reason: str


def is_results(folder: Path) -> bool:
    """Whether a path is a results folder."""
    try:
        return (folder / RECORDS).is_file()
    except (OSError, ValueError):
        return False


class Store:
    """One results folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def create(self) -> None:
        """Make the folder and prove that it can be written to; StoreError says what to do if not."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            probe = self.folder / ".write-test"
            probe.write_text("")
            probe.unlink()
        except OSError as error:
            raise StoreError(
                f"cannot write to '{self.folder}' ({error.strerror}); choose another --output-dir"
            ) from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for one run; StoreError when another run holds it."""
        with (self.folder / ".lock").open("w") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise StoreError(
                    f"another run is writing to '{self.folder}'; wait for it or choose another --output-dir"
                ) from error
            yield

    def append(self, record: Record) -> None:
        """Add one record as a line, synced; StoreError, and the file as it was, when the disk refuses.

        A last line that a crash cut off is taken back first; damaged lines before it stay as they are.
        """
        path = self.folder / RECORDS
        line = record.model_dump_json().encode() + b"\n"
        try:
            with path.open("r+b" if path.exists() else "x+b") as handle:
                end = whole_lines(handle)
                try:
                    write_at(handle, end, line)
                except OSError:
                    handle.truncate(end)
                    raise
        except OSError as error:
            raise unwritable(path, error) from error

    def read(self) -> tuple[list[Record], list[DamagedLine]]:
        """The newest record of each trial id, oldest trial first, and the lines that could not be read."""
        path = self.folder / RECORDS
        if not path.is_file():
            raise StoreError(
                f"no results in '{self.folder}' ({RECORDS} is missing); run `quantbench run` first"
            )
        newest: dict[str, Record] = {}
        damaged: list[DamagedLine] = []
        try:
            with path.open("rb") as lines:
                for number, line in enumerate(lines, start=1):
                    if line.strip():
                        try:
                            record = parse_record(line)
                            newest[record.trial_id] = record
                        except ValueError as error:
                            damaged.append(DamagedLine(number, str(error)))
        except OSError as error:
            raise StoreError(f"cannot read '{path}' ({error.strerror}); check its permissions") from error
        return list(newest.values()), damaged

    def read_or_empty(self) -> tuple[list[Record], list[DamagedLine]]:
        """`read`, but a folder without records is an empty one."""
        return self.read() if (self.folder / RECORDS).exists() else ([], [])

    def write_lines(self, relative: str, rows: Iterable[dict[str, Any]]) -> str:
        """Write rows as JSON lines to a file of the folder, atomically; returns `relative`."""
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        path = self.folder / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text.encode())
        return relative


def whole_lines(handle: BinaryIO) -> int:
    """Bytes up to the end of the last whole record; what only lacks its line end gets one."""
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


def write_at(handle: BinaryIO, end: int, line: bytes) -> None:
    """Put `line` at `end`, the file's new last line, and wait until the disk has it."""
    handle.truncate(end)
    handle.seek(end)
    handle.write(line)
    handle.flush()
    os.fsync(handle.fileno())


def parse_record(line: bytes) -> Record:
    """One line as a Record; ValueError with a short reason otherwise."""
    try:
        record = Record.model_validate_json(line)
    except ValidationError:
        return explain(line)
    stated = "schema_version" in record.model_fields_set
    return record if stated and record.schema_version == SCHEMA_VERSION else explain(line)


def explain(line: bytes) -> Record:
    """`parse_record` of a line that looks damaged, step by step, for the sake of the reason."""
    try:
        data = json.loads(line)
        json.dumps(data, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("its text holds half a character (a lone surrogate)") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON ({error})") from error
    current = upgraded(data if isinstance(data, dict) else {})
    try:
        return Record.model_validate(current)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"field '{field}': {first['msg']}") from error


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file in one step; StoreError names the file when the disk is full or refuses."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise unwritable(path, error) from error


def unwritable(path: Path, error: OSError) -> StoreError:
    """The sentence for a file of the folder that the disk has no room for, or that it refuses."""
    return StoreError(
        f"cannot write '{path}' ({error.strerror}); free some space or choose another --output-dir"
    )
