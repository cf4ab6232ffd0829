"""Messages over a descriptor: 4 bytes of length, 4 bytes of sequence number, then JSON.

The program's side uses read and write alone, the two calls that its filter allows on a socket. The other
side gives a deadline, so that a slow or endless sender cannot hold it.
"""

import os
import select
import struct
import time
from collections.abc import Callable
from typing import Any

from quantbench.sandbox.inside.values import MAX_BYTES, Malformed, decode, encode

HEADER = struct.Struct("!II")
JOB_BYTES = 1 << 28  # the limit between pool and referee, who trust each other


class Closed(Exception):
    """The other side is gone."""


class TooLarge(Exception):
    """A message is over the limit of one; nothing was sent."""


class Late(Exception):
    """The deadline passed before the message was there."""


class Channel:
    """One end; every message sent has the next number, and every answer must carry the same."""

    def __init__(
        self, fd: int, clock: Callable[[], float] = time.monotonic, max_bytes: int = MAX_BYTES
    ) -> None:
        self.fd = fd
        self._clock = clock
        self._max_bytes = max_bytes

    def send(self, message: Any, number: int, deadline: float | None = None) -> None:
        """Write a message; TooLarge, Closed, or Late after the deadline (on the given clock)."""
        body = encode(message)
        if len(body) > self._max_bytes:
            raise TooLarge(f"{len(body):,} bytes of data in one call, where {self._max_bytes:,} are the most")
        view = memoryview(HEADER.pack(len(body), number) + body)
        while view:
            self._wait(select.POLLOUT, deadline)
            try:
                view = view[os.write(self.fd, view[:65536]) :]
            except BlockingIOError:
                continue
            except OSError as error:
                raise Closed from error

    def receive(self, deadline: float | None = None) -> tuple[Any, int]:
        """The next message and its number; Closed, Late, or Malformed."""
        length, number = HEADER.unpack(self._read(HEADER.size, deadline))
        if length > self._max_bytes:
            raise Malformed(f"a reply of {length} bytes is over the limit of {self._max_bytes}")
        return decode(self._read(length, deadline)), number

    def _read(self, size: int, deadline: float | None) -> bytes:
        parts = []
        while size:
            self._wait(select.POLLIN, deadline)
            try:
                part = os.read(self.fd, min(size, 1 << 20))
            except BlockingIOError:
                continue
            except OSError as error:
                raise Closed from error
            if not part:
                raise Closed
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def _wait(self, event: int, deadline: float | None) -> None:
        if deadline is None:
            return
        poll = select.poll()
        poll.register(self.fd, event)
        left = deadline - self._clock()
        if left <= 0 or not poll.poll(left * 1000):
            raise Late
