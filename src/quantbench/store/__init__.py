"""The results folder on disk: `Store` is its interface, `Summary` what is known of a record at a glance."""

from quantbench.store.files import write_atomically
from quantbench.store.lines import parse_record
from quantbench.store.store import DamagedLine, Store, is_results
from quantbench.store.summary import Summary
from quantbench.store.whole import whole

__all__ = ["DamagedLine", "Store", "Summary", "is_results", "parse_record", "whole", "write_atomically"]
