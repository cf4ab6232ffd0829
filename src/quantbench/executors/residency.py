"""The libraries' pages in a fork's memory, as in that of a process that has imported them itself.

A fork shares what its server has written; pages of files are mapped again only where it touches them. A
trial's resident set would lack those that only importing needs, some 60 MB with torch, and would not be what
a user's own process takes. Linux alone; where it cannot be asked, nothing happens.
"""

import ctypes
import mmap
import re
from pathlib import Path

MAPS, PAGEMAP = Path("/proc/self/maps"), Path("/proc/self/pagemap")
FILE_MAPPING = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) r\S+ \S+ \S+ [1-9]\d*\s+/", re.MULTILINE)
PRESENT = re.compile(rb"[\x80-\xff]+")  # highest bytes of pagemap's entries: their highest bit
ENTRY = 8  # bytes of pagemap for a page
MADV_POPULATE_READ = 22  # of Linux 5.14

Ranges = list[tuple[int, int]]


def resident_file_pages() -> Ranges:
    """(address, bytes) of this process's pages that are mapped from files and are in memory."""
    found = []
    try:
        with PAGEMAP.open("rb", buffering=0) as pagemap:
            for mapping in FILE_MAPPING.finditer(MAPS.read_text()):
                start, end = (int(bound, 16) for bound in mapping.groups())
                pagemap.seek(start // mmap.PAGESIZE * ENTRY)
                entries = pagemap.read((end - start) // mmap.PAGESIZE * ENTRY)
                for run in PRESENT.finditer(entries[ENTRY - 1 :: ENTRY]):
                    first, last = run.span()
                    found.append((start + first * mmap.PAGESIZE, (last - first) * mmap.PAGESIZE))
    except OSError:
        return []
    return found


def map_again(pages: Ranges) -> None:
    """Let a fork of the process that found the pages have them, too; takes some milliseconds."""
    madvise = getattr(ctypes.CDLL(None), "madvise", None)
    if madvise is None:
        return
    madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    for address, size in pages:
        madvise(address, size, MADV_POPULATE_READ)
