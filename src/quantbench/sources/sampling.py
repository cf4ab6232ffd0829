"""Blocks of a large file that stand for all of it in a content hash."""

from collections.abc import Iterator
from typing import BinaryIO

SAMPLES, SAMPLE_BYTES = 64, 4096


def sampled_blocks(file: BinaryIO, size: int) -> Iterator[bytes]:
    """Evenly spaced blocks of a file of `size` bytes, its first and its last among them."""
    for index in range(SAMPLES):
        file.seek(max(0, size - SAMPLE_BYTES) * index // (SAMPLES - 1))
        yield file.read(SAMPLE_BYTES)
