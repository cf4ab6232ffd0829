"""The results folder: records as JSON lines, samples, logs. Knows files, not what the figures mean.

records.jsonl keeps every record that was ever written; the newest one of a trial id counts. Each
write replaces the file atomically, so that a crash or a full disk leaves the old content.
"""

import fcntl
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from quantbench.errors import StoreError
from quantbench.records import SCHEMA_VERSION, Record

RECORDS = "records.jsonl"


@dataclass(frozen=True, slots=True)
class DamagedLine:
    """A line of records.jsonl that was skipped: its 1-based number and why."""

    number: int
    reason: str


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
        """Add one record; damaged lines that are already there stay as they are."""
        path = self.folder / RECORDS
        old = path.read_bytes() if path.exists() else b""
        if old and not old.endswith(b"\n"):
            old += b"\n"
        write_atomically(path, old + record.model_dump_json().encode() + b"\n")

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
            content = path.read_bytes()
        except OSError as error:
            raise StoreError(f"cannot read '{path}' ({error.strerror}); check its permissions") from error
        for number, line in enumerate(content.split(b"\n"), start=1):
            if not line.strip():
                continue
            try:
                record = parse_record(line)
            except ValueError as error:
                damaged.append(DamagedLine(number, str(error)))
                continue
            newest[record.trial_id] = record
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


def parse_record(line: bytes) -> Record:
    """One line as a Record; ValueError with a short reason otherwise."""
    try:
        data = json.loads(line)
        json.dumps(data, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("its text holds half a character (a lone surrogate)") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON ({error})") from error
    version = data.get("schema_version") if isinstance(data, dict) else None
    if version != SCHEMA_VERSION:
        raise ValueError(f"schema version {version!r}, this quantbench reads {SCHEMA_VERSION}")
    try:
        return Record.model_validate(data)
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
        raise StoreError(
            f"cannot write '{path}' ({error.strerror}); free some space or choose another --output-dir"
        ) from error
