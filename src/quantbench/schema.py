"""The schema of records: its versions, and how a record of an older one is read.

1  the first
2  a failure says whether the user caused it (`user_error`); version 1 told it by a missing traceback; and
   kernels are structured; version 1 had a dictionary of operations and words, see kernels.py
3  in a results folder, entries a problem lie beside the record in a file of their own, see parts.py

A field that is added with a default needs no version: older records are read without it.
"""

from collections.abc import Mapping
from typing import Any

SCHEMA_VERSION = 3
READABLE = (1, 2, 3)


def upgraded(data: Mapping[str, Any]) -> dict[str, Any]:
    """A record of an older schema as the present one has it; ValueError for a version that is not read."""
    version = data.get("schema_version")
    if version not in READABLE:
        raise ValueError(f"schema version {version!r}, this quantbench reads {READABLE[0]} to {READABLE[-1]}")
    found = {**data, "schema_version": SCHEMA_VERSION}
    failure = data.get("failure")
    if version == 1 and isinstance(failure, Mapping):
        known = failure.get("stage") != "process" and failure.get("traceback") is None
        found["failure"] = {**failure, "user_error": known}
    return found
