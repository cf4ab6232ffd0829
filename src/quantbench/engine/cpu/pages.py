"""Weights in large pages: a step reads all of them, and every page of 4 KiB has to be found first.

Linux brings memory that is there already into pages of 2 MiB on request (6.1 and later; elsewhere, and for
what is mapped from a file, nothing happens). Values and addresses stay.
"""

import ctypes
import sys
from collections import Counter
from collections.abc import Iterable

from torch import Tensor

PAGE = 1 << 21
MADV_COLLAPSE = 25
FILLED = 7 / 8  # of a page, so that what lies between weights takes little more memory


def use_large_pages(tensors: Iterable[Tensor]) -> int:
    """Bring the tensors' memory into large pages where it fills them; bytes of those that now are."""
    if sys.platform != "linux":
        return 0
    madvise = ctypes.CDLL(None).madvise
    madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    held = {(tensor.data_ptr(), tensor.nbytes) for tensor in tensors}
    madvise.restype = ctypes.c_int
    collapsed = [page for page in filled_pages(held) if madvise(page, PAGE, MADV_COLLAPSE) == 0]
    return PAGE * len(collapsed)


def filled_pages(held: Iterable[tuple[int, int]]) -> list[int]:
    """Addresses of the pages that ranges (address, bytes), which do not overlap, fill but for little."""
    bytes_in: Counter[int] = Counter()
    for address, size in held:
        end = address + size
        for page in range(address // PAGE * PAGE, end, PAGE):
            bytes_in[page] += min(end, page + PAGE) - max(address, page)
    return sorted(page for page, filled in bytes_in.items() if filled >= FILLED * PAGE)
