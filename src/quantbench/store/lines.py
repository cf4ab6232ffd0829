"""A line of records.jsonl: how a record is written as one, and read, with the reason where it cannot be.

The end of a line holds a checksum of what stands before it, so that a line that is as it was written needs no
other look until its figures are wanted. Lines of older versions have none and are read in full.
"""

import json
import re
import zlib
from pathlib import Path

from pydantic import ValidationError

from quantbench.parts import Collector, Folder
from quantbench.records import Record
from quantbench.schema import SCHEMA_VERSION, upgraded

SEALED = re.compile(rb',"checksum":"([0-9a-f]{8})"\}\s*$')
SEAL_BYTES = 40  # at a line's end that hold the checksum


def sealed_line(record: Record, collector: Collector) -> bytes:
    """The record as a line with its checksum; its big parts are left to the collector."""
    body = record.model_dump_json(context=collector).encode()[:-1]
    return body + b',"checksum":"%08x"}\n' % zlib.crc32(body)


def is_whole(line: bytes) -> bool:
    """Whether a line has a checksum, and the right one; ValueError where it is another line's."""
    found = SEALED.search(line, max(0, len(line) - SEAL_BYTES))
    if found is None:
        return False
    if zlib.crc32(memoryview(line)[: found.start()]) != int(found[1], 16):
        raise ValueError("it is not what was written: its checksum is another one's")
    return True


def parse_record(line: bytes, folder: Path | None = None) -> Record:
    """One line as a Record; ValueError with a short reason otherwise.

    `folder` is the results folder that holds its parts; without it a record must hold them itself.
    """
    is_whole(line)
    context = Folder(folder) if folder else None
    try:
        record = Record.model_validate_json(line, context=context)
    except ValidationError:
        return explain(line, context)
    stated = "schema_version" in record.model_fields_set
    return record if stated and record.schema_version == SCHEMA_VERSION else explain(line, context)


def explain(line: bytes, context: Folder | None = None) -> Record:
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
        return Record.model_validate(current, context=context)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"field '{field}': {first['msg']}") from error
