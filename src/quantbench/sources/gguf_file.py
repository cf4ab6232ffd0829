"""Reads GGUF files (versions 2 and 3, little endian): metadata and the places of tensors, checked.

Layout: 'GGUF', version u32, tensors u64, entries u64; the entries (key, type u32, value); the tensors (name,
dimensions u32, their sizes u64 with the innermost first, type u32, offset u64 from the data's start);
padding to `general.alignment`; the data. Texts are a length u64 and UTF-8.
"""

import mmap
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantbench.errors import ModelError
from quantbench.sources.ggml_types import FLOATS, GGML_TYPES, KNOWN_BY_NUMBER, GgmlType
from quantbench.sources.layout import Shape, count

if TYPE_CHECKING:
    import torch

MAGIC = b"GGUF"
VERSIONS = (2, 3)
ALIGNMENT = 32
MOST_DIMENSIONS = 4
TEXT, LIST = 8, 9  # types of entries
NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}


@dataclass(frozen=True, slots=True, kw_only=True)
class GgufTensor:
    """Where one tensor lies; shape as torch has it, the outputs first."""

    path: Path
    kind: GgmlType
    shape: Shape
    offset: int  # from the file's start
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GgufHeader:
    metadata: dict[str, Any]
    tensors: dict[str, GgufTensor]


def read_gguf(path: Path) -> GgufHeader:
    """Metadata and tensors of a file; ModelError when it is truncated, damaged, or of types not read here."""
    try:
        total = path.stat().st_size
        with path.open("rb") as file:
            if total < 24 or file.read(4) != MAGIC:
                raise damaged(path, "it does not begin as a GGUF file")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                return _read_header(path, Cursor(path, content), total)
    except OSError as error:
        raise ModelError(f"cannot read '{path}' ({error.strerror}); check its permissions") from error


def _read_header(path: Path, cursor: "Cursor", total: int) -> GgufHeader:
    cursor.at = 4
    version = cursor.number("I")
    if version not in VERSIONS:
        swapped = int.from_bytes(version.to_bytes(4, "big"), "little")
        told = f"{swapped} in big endian" if swapped in VERSIONS else version
        raise ModelError(
            f"'{path}' is a GGUF file of version {told}, of which 2 and 3 in little endian are read; "
            "convert it again"
        )
    tensors, entries = cursor.number("Q"), cursor.number("Q")
    metadata: dict[str, Any] = {}
    for _ in range(entries):
        key = cursor.text()
        metadata[key] = cursor.value(cursor.number("I"))
    infos = [_read_info(path, cursor) for _ in range(tensors)]
    alignment = metadata.get("general.alignment", ALIGNMENT)
    if not isinstance(alignment, int) or isinstance(alignment, bool) or not 1 <= alignment <= 1 << 20:
        raise damaged(path, "its alignment makes no sense")
    start = -(-cursor.at // alignment) * alignment
    found: dict[str, GgufTensor] = {}
    for name, kind, shape, offset in infos:
        size = count(shape) // kind.values * kind.nbytes
        if start + offset + size > total:
            raise ModelError(
                f"'{path}' is truncated: it has {total:,} bytes of at least {start + offset + size:,}; "
                "download or copy it again"
            )
        found[name] = GgufTensor(path=path, kind=kind, shape=shape, offset=start + offset, size=size)
    return GgufHeader(metadata=metadata, tensors=found)


def _read_info(path: Path, cursor: "Cursor") -> tuple[str, GgmlType, Shape, int]:
    name, dimensions = cursor.text(), cursor.number("I")
    if dimensions > MOST_DIMENSIONS:
        raise damaged(path, f"'{name[:100]}' has {dimensions} dimensions")
    shape = tuple(cursor.number("Q") for _ in range(dimensions))[::-1]
    number, offset = cursor.number("I"), cursor.number("Q")
    if number not in GGML_TYPES:
        unread = KNOWN_BY_NUMBER.get(number, f"number {number}")
        readable = ", ".join(known.name for known in GGML_TYPES.values())
        raise ModelError(
            f"'{name[:100]}' in '{path}' has the type {unread}; those read are {readable}: quantize it again"
        )
    kind = GGML_TYPES[number]
    if (shape[-1] if shape else 1) % kind.values or max(shape, default=0) > 1 << 40:
        raise damaged(path, f"'{name[:100]}' has rows that are no whole blocks")
    return name, kind, shape, offset


class Cursor:
    """Reads a file from `at` on; ModelError at its end."""

    def __init__(self, path: Path, content: mmap.mmap) -> None:
        self.at = 0
        self._path, self._content, self._size = path, content, len(content)

    def number(self, letter: str) -> Any:
        """One number of a type that `struct` knows."""
        form = "<" + letter
        begin = self._take(struct.calcsize(form))
        return struct.unpack_from(form, self._content, begin)[0]

    def text(self) -> str:
        """A text; bytes that are no UTF-8 become marks, as a damaged name is said later."""
        length = self.number("Q")
        begin = self._take(length)
        return self._content[begin : begin + length].decode("utf-8", errors="replace")

    def value(self, kind: int) -> Any:
        """An entry's value of a type."""
        if kind == TEXT:
            return self.text()
        if kind in NUMBERS:
            return self.number(NUMBERS[kind])
        if kind != LIST:
            raise damaged(self._path, f"an entry has the unknown type {kind}")
        inner, length = self.number("I"), self.number("Q")
        if inner in NUMBERS:
            form = f"<{length}{NUMBERS[inner]}"
            if length > self._size:
                raise self._ended()
            begin = self._take(struct.calcsize(form))
            return list(struct.unpack_from(form, self._content, begin))
        if inner != TEXT or length > self._size:
            raise damaged(self._path, f"a list has the type {inner}, which is not read")
        return [self.text() for _ in range(length)]

    def _take(self, size: int) -> int:
        begin = self.at
        if size > self._size - begin:
            raise self._ended()
        self.at += size
        return begin

    def _ended(self) -> ModelError:
        return ModelError(f"'{self._path}' is truncated in its header; download or copy it again")


def read_gguf_tensor(
    stored: GgufTensor, rows: "Callable[[torch.Tensor], torch.Tensor] | None" = None
) -> "torch.Tensor":
    """Floats in their own type [out, in]; blocks as bytes, uint8 [out, bytes of a row]. In own memory."""
    import torch

    *outer, inner = stored.shape or (1,)
    data = torch.empty(stored.size, dtype=torch.uint8)
    if stored.size:
        with stored.path.open("rb", buffering=0) as file:
            file.seek(stored.offset)
            view = data.numpy().data
            done = 0
            while done < stored.size:
                got = file.readinto(view[done:])
                if not got:
                    raise ModelError(f"'{stored.path}' is truncated; download or copy it again")
                done += got
    if stored.kind.name in FLOATS:
        tensor = data.view(getattr(torch, FLOATS[stored.kind.name])).reshape(stored.shape)
    else:
        tensor = data.reshape(*outer, inner // stored.kind.values * stored.kind.nbytes)
    return tensor if rows is None else rows(tensor)


def damaged(path: Path, reason: str) -> ModelError:
    return ModelError(f"'{path}' is damaged: {reason}; download it again")
