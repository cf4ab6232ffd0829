"""The results folder: records as JSON lines, their big parts, samples, logs. Knows files, no figures.

records.jsonl keeps every record that was ever written; the newest one of a trial id counts. A record is
appended as one line and synced, whatever the size of the file; a line that a crash or a full disk cut off
is taken back. What has an entry a problem lies in parts/, in a file that is there before its record is.
Every other file is replaced in one step.
"""

import fcntl
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from quantbench.errors import StoreError
from quantbench.parts import FOLDER as PARTS
from quantbench.parts import Collector
from quantbench.records import Record
from quantbench.store.files import make_folder, unwritable, whole_lines, write_at, write_atomically
from quantbench.store.lines import parse_record, sealed_line
from quantbench.store.summary import Summary, summary_of

RECORDS = "records.jsonl"


@dataclass(frozen=True, slots=True)
class DamagedLine:
    """A line of records.jsonl that was skipped: its 1-based number and why."""

    number: int
    reason: str


def has_records(folder: Path) -> bool:
    """Whether a path is a folder that holds records."""
    try:
        return (folder / RECORDS).is_file()
    except (OSError, ValueError):
        return False


class Store:
    """One results folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._made: tuple[int, int] | None = None  # device and inode, once `create` has seen it

    def create(self) -> None:
        """Make the folder and prove that it can be written to; StoreError says what to do if not."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            probe = self.folder / ".write-test"
            probe.write_text("")
            probe.unlink()
            self._made = self._identity()
        except OSError as error:
            raise StoreError(
                f"cannot write to '{self.folder}' ({error.strerror}); choose another --output-dir"
            ) from error

    def _identity(self) -> tuple[int, int]:
        found = self.folder.stat()
        return found.st_dev, found.st_ino

    def check_there(self) -> None:
        """StoreError where the folder that was created is not there any more, or is another one."""
        if self._made is None:
            return
        try:
            same = self._identity() == self._made
        except OSError:
            same = False
        if not same:
            raise StoreError(
                f"'{self.folder}' was removed or moved while it was written to, so nothing more is written; "
                "put it back, or run the same command again to begin anew"
            )

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

    def is_held(self) -> bool:
        """Whether a run holds the folder now."""
        try:
            with (self.folder / ".lock").open("r") as handle:
                fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except OSError:
            return True
        return False

    def append(self, record: Record) -> Summary:
        """Add one record as a line, synced; StoreError, and the file as it was, when the disk refuses.

        A last line that a crash cut off is taken back first; damaged lines before it stay as they are.
        """
        self.check_there()
        path = self.folder / RECORDS
        collector = Collector(self._free_name(record.trial_id))
        line = sealed_line(record, collector)
        if collector.content:
            part = self.folder / collector.file
            make_folder(part.parent)
            write_atomically(part, bytes(collector.content))
        try:
            with path.open("r+b" if path.exists() else "x+b", buffering=0) as handle:
                end = whole_lines(handle)
                try:
                    write_at(handle, end, line)
                except OSError:
                    handle.truncate(end)
                    raise
        except OSError as error:
            raise unwritable(path, error) from error
        return summary_of(line, end, self.folder)

    def _free_name(self, trial_id: str) -> str:
        """A file for the parts of another record of this trial; those of earlier ones stay."""
        names = (f"{PARTS}/{trial_id}-{number}.jsonl" for number in count(1))
        return next(name for name in names if not (self.folder / name).exists())

    def read(self) -> tuple[list[Record], list[DamagedLine]]:
        """The newest record of each trial id, oldest trial first, and the lines that could not be read."""
        newest: dict[str, Record] = {}
        damaged: list[DamagedLine] = []
        for number, _, line in self._lines():
            try:
                record = parse_record(line, self.folder)
                newest[record.trial_id] = record
            except ValueError as error:
                damaged.append(DamagedLine(number, str(error)))
        return list(newest.values()), damaged

    def summaries(self) -> tuple[dict[str, Summary], list[DamagedLine]]:
        """`read` without the figures: the newest record of each trial id, in little time and memory."""
        newest: dict[str, Summary] = {}
        damaged: list[DamagedLine] = []
        for number, start, line in self._lines():
            try:
                summary = summary_of(line, start, self.folder)
                newest[summary.trial_id] = summary
            except ValueError as error:
                damaged.append(DamagedLine(number, str(error)))
        return newest, damaged

    def record(self, summary: Summary) -> Record:
        """The record of a summary; ValueError where its line cannot be read in full."""
        path = self.folder / RECORDS
        try:
            with path.open("rb") as handle:
                handle.seek(summary.start)
                return parse_record(handle.read(summary.nbytes), self.folder)
        except OSError as error:
            raise StoreError(f"cannot read '{path}' ({error.strerror}); check its permissions") from error

    def line_number(self, summary: Summary) -> int:
        """The 1-based number of a summary's line."""
        return next(number for number, start, _ in self._lines() if start == summary.start)

    def _lines(self) -> Iterator[tuple[int, int, bytes]]:
        """Every line that is not empty: its 1-based number, the byte at which it begins, itself."""
        path = self.folder / RECORDS
        if not path.is_file():
            raise StoreError(
                f"no results in '{self.folder}' ({RECORDS} is missing); run `quantbench run` first"
            )
        start = 0
        try:
            with path.open("rb") as lines:
                for number, line in enumerate(lines, start=1):
                    if line.strip():
                        yield number, start, line
                    start += len(line)
        except OSError as error:
            raise StoreError(f"cannot read '{path}' ({error.strerror}); check its permissions") from error

    def summaries_or_none(self) -> tuple[dict[str, Summary], list[DamagedLine]]:
        """`summaries`, but a folder without records is an empty one."""
        return self.summaries() if (self.folder / RECORDS).exists() else ({}, [])

    def has_parts(self, summary: Summary) -> bool:
        """Whether the files of a record's parts are there; what is in them shows when they are read."""
        return all((self.folder / part).is_file() for part in summary.parts)

    def write_lines(self, relative: str, rows: Iterable[dict[str, Any]]) -> str:
        """Write rows as JSON lines to a file of the folder, atomically; returns `relative`."""
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        path = self.folder / relative
        make_folder(path.parent)
        write_atomically(path, text.encode())
        return relative
