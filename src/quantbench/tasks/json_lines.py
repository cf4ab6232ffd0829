"""The lines of a JSON lines file as people have them: plain, gzip, or both in one file; UTF-8, -16 or -32.

Files that are written in append mode hold many gzip members, and a killed writer leaves one without its end:
what can be unpacked is given, and each damage is named. Lines end at line feeds alone: U+2028, U+2029 and
U+0085 may stand unescaped inside JSON text.
"""

import contextlib
import json
import re
import zlib
from dataclasses import dataclass
from pathlib import Path

MAGIC = b"\x1f\x8b\x08"  # of a gzip member; no UTF-8 text holds it
MEMBER = re.compile(MAGIC + rb"[\x00-\x1f]")
SMALL_CHUNK, FIRST_CHUNK, LARGEST_CHUNK = 1 << 5, 1 << 10, 1 << 20  # bytes
BOM = "\ufeff"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """Lines that are not blank, as UTF-8 with their 1-based numbers, and a phrase for each damage."""

    numbered: tuple[tuple[int, bytes], ...]
    damage: tuple[str, ...]


def read_lines(path: Path) -> Lines:
    """All lines of a file that can be had; OSError as `Path.read_bytes` raises it."""
    content, damage = unpack(path.read_bytes())
    lines, undecodable = decode(content)
    numbered = enumerate((line.removeprefix(BOM.encode()) for line in lines), start=1)
    return Lines(
        numbered=tuple((number, line) for number, line in numbered if line.strip()),
        damage=(*damage, *undecodable),
    )


def unpack(raw: bytes) -> tuple[bytes, list[str]]:
    """Content with every gzip member unpacked, in linear time; what lies between members stays as it is."""
    content = bytearray()
    damage: list[str] = []
    position, whole = 0, True
    while position < len(raw):
        packed = raw.startswith(MAGIC, position)
        part, position, reason = (_unpack_member if packed else _plain_part)(raw, position)
        if not (packed and whole) and content and not content.endswith(b"\n"):
            content += b"\n"  # a line that was cut, or plain text, does not go on in the next part
        content += part
        whole = packed and reason is None
        damage += [reason] if reason else []
    return bytes(content), damage


def _plain_part(raw: bytes, start: int) -> tuple[bytes, int, None]:
    """Text up to the next gzip member, without the zeros that pad archives, and where it ends."""
    wide = json.detect_encoding(raw[start : start + 4]).startswith(("utf-16", "utf-32"))
    end = len(raw) if wide else _next_member(raw, start)
    part = raw[start:end]
    return part if part.strip(b"\0") else b"", end, None


def _unpack_member(raw: bytes, start: int) -> tuple[bytes, int, str | None]:
    """A member's content, where the next part starts, and what is wrong with it."""
    unpacker = zlib.decompressobj(wbits=31)
    parts: list[bytes] = []
    try:
        position = _feed(unpacker, raw, start, parts, FIRST_CHUNK)
    except zlib.error as error:
        parts.clear()
        with contextlib.suppress(zlib.error):  # once more, in steps so small that little is lost
            _feed(zlib.decompressobj(wbits=31), raw, start, parts, SMALL_CHUNK, grow=1)
        return b"".join(parts), _next_member(raw, start), f"the gzip part at byte {start}: {error}"
    content = b"".join(parts)
    if not unpacker.eof:
        return content, _next_member(raw, start), f"the gzip part at byte {start}: its end is missing"
    return content, position - len(unpacker.unused_data), None


def _feed(
    unpacker: "zlib._Decompress", raw: bytes, position: int, parts: list[bytes], chunk: int, grow: int = 2
) -> int:
    """Unpack into `parts` until the member's end; how far it read. Members may be small: chunks grow."""
    while position < len(raw) and not unpacker.eof:
        parts.append(unpacker.decompress(raw[position : position + chunk]))
        position += chunk
        chunk = min(grow * chunk, LARGEST_CHUNK)
    return min(position, len(raw))


def _next_member(raw: bytes, start: int) -> int:
    """Where the next member starts: its mark and a byte of known flags."""
    found = MEMBER.search(raw, start + 1)
    return found.start() if found else len(raw)


def decode(content: bytes) -> tuple[list[bytes], list[str]]:
    """Lines as UTF-8; damaged UTF-8 is left to whoever parses the line, so that it costs that line alone."""
    encoding = json.detect_encoding(content[:4])
    if encoding.startswith("utf-8"):
        return content.split(b"\n"), []
    try:
        return content.decode(encoding).encode().split(b"\n"), []
    except UnicodeDecodeError as error:
        whole = content[: error.start].decode(encoding, errors="ignore")
        return whole.encode().split(b"\n"), [f"it is not {encoding} from byte {error.start} on"]
