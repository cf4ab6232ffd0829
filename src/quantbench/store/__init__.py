"""The results folder on disk: `Store` is its interface, `Summary` what is known of a record at a glance."""

from quantbench.store.files import make_folder, write_atomically
from quantbench.store.lines import parse_record
from quantbench.store.running import Running, clear_running, note_ended, note_running, read_running
from quantbench.store.store import DamagedLine, Store, has_records
from quantbench.store.summary import Summary
from quantbench.store.whole import whole

__all__ = [
    "DamagedLine",
    "Running",
    "Store",
    "Summary",
    "clear_running",
    "has_records",
    "make_folder",
    "note_ended",
    "note_running",
    "parse_record",
    "read_running",
    "whole",
    "write_atomically",
]
