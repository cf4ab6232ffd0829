"""The lock that multiprocessing builds on, for a box that holds one process: ThreadPool and queues need it.

The C library's would need a file in shared memory, which the box has not.
"""

import threading
import time
from typing import Any

RECURSIVE_MUTEX = 0


class SemLock:
    """What `_multiprocessing.SemLock` does, between the threads of one process."""

    SEM_VALUE_MAX = 2**31 - 1

    def __init__(self, kind: int, value: int, maxvalue: int, name: str, unlink: bool) -> None:
        self.kind, self.maxvalue, self.handle = kind, maxvalue, 0
        self.name = None  # it has none that another process could find
        self._value = value
        self._owner: int | None = None
        self._depth = 0
        self._changed = threading.Condition()

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        """Take one; False if there is none in time."""
        end = None if timeout is None else time.monotonic() + max(0.0, timeout)
        with self._changed:
            if self.kind == RECURSIVE_MUTEX and self._is_mine():
                self._depth += 1
                return True
            while self._value == 0:
                left = None if end is None else end - time.monotonic()
                if not block or (left is not None and left <= 0):
                    return False
                self._changed.wait(left)
            self._value -= 1
            self._depth += 1
            self._owner = threading.get_ident()
            return True

    def release(self) -> None:
        """Give one back."""
        with self._changed:
            if self.kind == RECURSIVE_MUTEX and not self._is_mine():
                raise AssertionError("attempt to release recursive lock not owned by thread")
            if self.kind != RECURSIVE_MUTEX and self._value >= self.maxvalue:
                raise ValueError("semaphore or lock released too many times")
            self._depth -= 1
            if self.kind == RECURSIVE_MUTEX and self._depth:
                return
            self._value += 1
            self._changed.notify()

    def _count(self) -> int:
        return self._depth

    def _is_mine(self) -> bool:
        return self._depth > 0 and self._owner == threading.get_ident()

    def _get_value(self) -> int:
        return self._value

    def _is_zero(self) -> bool:
        return self._value == 0

    def _after_fork(self) -> None:
        self._depth = 0

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *error: Any) -> None:
        self.release()
