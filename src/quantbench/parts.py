"""Big parts of a record (one entry a problem): beside the record on disk, read when they are first looked at.

In a Record such a field is a tuple, or a Part: a sequence that knows its file. A Part never looks like an
empty one when its file is gone: it raises PartDamaged, one sentence. `gzip parts/*` makes a folder
that is kept a third as large, and is read as before. Knows files, not what the entries mean.
"""

import gzip
import hashlib
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from types import GenericAlias
from typing import IO, Any, TypeVar, overload

from pydantic import GetCoreSchemaHandler, SerializationInfo, TypeAdapter, ValidationError, ValidationInfo
from pydantic_core import CoreSchema, core_schema

from quantbench.errors import StoreError

Entry = TypeVar("Entry")
FOLDER = "parts"
NAME = re.compile(rf"{FOLDER}/[0-9A-Za-z_-]+\.jsonl")
AGAIN = "run the same command again to measure them"


class PartDamaged(StoreError):
    """A part of a record that is missing or not what was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a part lies: `nbytes` bytes of a file from `start` on, with this hash."""

    file: str  # relative to the results folder
    start: int
    nbytes: int
    sha256: str
    count: int  # entries

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> "Place":
        """What a record says of a part; ValueError for what no quantbench wrote."""
        place = cls(**{name: data.get(name) for name in cls.__dataclass_fields__})  # type: ignore[arg-type]
        numbers = (place.start, place.nbytes, place.count)
        texts = isinstance(place.file, str) and isinstance(place.sha256, str)
        if not texts or not NAME.fullmatch(place.file) or not all(type(n) is int and n >= 0 for n in numbers):
            raise ValueError("it names no part of a results folder")
        return place


class Part(Sequence[Entry]):
    """The entries of a part; the file is read once, at the first look."""

    def __init__(self, place: Place, folder: Path, read: Callable[[bytes], tuple[Entry, ...]]) -> None:
        self.place = place
        self._folder = folder
        self._read = read
        self._entries: tuple[Entry, ...] | None = None

    @property
    def loaded(self) -> bool:
        """Whether the file was read."""
        return self._entries is not None

    @property
    def entries(self) -> tuple[Entry, ...]:
        """All entries; PartDamaged with what is wrong with their file."""
        if self._entries is None:
            self._entries = self._load()
        return self._entries

    def _load(self) -> tuple[Entry, ...]:
        place = self.place
        try:
            with opened(self._folder / place.file) as handle:
                handle.seek(place.start)
                content = handle.read(place.nbytes)
        except (EOFError, gzip.BadGzipFile, zlib.error):
            content = b""
        except OSError as error:
            raise PartDamaged(missing_sentence(place.file, error)) from error
        if hashlib.sha256(content).hexdigest() != place.sha256:
            raise PartDamaged(f"'{place.file}' is damaged: it is not what was written; remove it and {AGAIN}")
        try:
            return self._read(content)
        except ValidationError as error:
            raise PartDamaged(
                f"'{place.file}' holds no part as this quantbench reads it; use the one that wrote it"
            ) from error

    @overload
    def __getitem__(self, index: int) -> Entry: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Entry, ...]: ...
    def __getitem__(self, index: int | slice) -> Entry | tuple[Entry, ...]:
        return self.entries[index]

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def __eq__(self, other: object) -> bool:
        return self.entries == tuple(other) if isinstance(other, Sequence) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.entries)

    def __repr__(self) -> str:
        return f"<Part of {self.place.count} entries in '{self.place.file}'>"


def opened(file: Path) -> IO[bytes] | gzip.GzipFile:
    """A part's file to be read, which may have been packed by gzip since it was written."""
    packed = file.with_name(f"{file.name}.gz")
    if file.exists() or not packed.exists():
        return file.open("rb")
    return gzip.open(packed)


def missing_sentence(file: str, error: OSError) -> str:
    """What is said of a part's file that cannot be read."""
    if isinstance(error, FileNotFoundError):
        return f"'{file}' is missing from the results folder; {AGAIN}"
    return f"'{file}' cannot be read ({error.strerror}); check its permissions"


@dataclass(slots=True)
class Folder:
    """The context in which a stored record is read: the results folder whose parts it names."""

    path: Path


@dataclass(slots=True)
class Collector:
    """The context in which a record is written to a store: it takes the parts out, one line each."""

    file: str  # that they will be written to
    content: bytearray = field(default_factory=bytearray)

    def take(self, line: bytes, count: int) -> dict[str, Any]:
        """Keep the entries; returns what stands in their place."""
        digest = hashlib.sha256(line).hexdigest()
        place = Place(file=self.file, start=len(self.content), nbytes=len(line), sha256=digest, count=count)
        self.content += line + b"\n"
        return asdict(place)


class Apart:
    """An annotation of a field with entries of this type: they may lie apart from their record."""

    def __init__(self, kind: Any) -> None:
        self._entries: Any = GenericAlias(tuple, (kind, ...))

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        entries = handler.generate_schema(self._entries)
        return core_schema.with_info_wrap_validator_function(
            self._validate,
            entries,
            serialization=core_schema.wrap_serializer_function_ser_schema(
                self._serialize, info_arg=True, schema=entries
            ),
        )

    def _validate(self, value: Any, inner: Callable[[Any], Any], info: ValidationInfo) -> Any:
        if isinstance(value, Part):
            return value
        if not isinstance(value, Mapping):
            return inner(value)
        if not isinstance(info.context, Folder):
            raise ValueError("it lies apart from its record, outside a results folder")
        return Part(Place.of(value), info.context.path, self._read)

    @cached_property
    def _adapter(self) -> TypeAdapter[tuple[Any, ...]]:
        return TypeAdapter(self._entries)

    def _read(self, line: bytes) -> tuple[Any, ...]:
        return self._adapter.validate_json(line)

    def _serialize(self, value: Any, inner: Callable[[Any], Any], info: SerializationInfo) -> Any:
        entries = tuple(value)
        if isinstance(info.context, Collector) and entries:
            return info.context.take(self._adapter.dump_json(entries), len(entries))
        return inner(entries)
