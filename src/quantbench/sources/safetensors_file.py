"""Reads safetensors files: the header checked byte by byte, then one tensor at a time.

Tensors are read into memory of their own instead of being mapped, so that dropping one really frees it:
a mapped file stays in the process's resident set and would be counted as the model's memory.
Format: 8 bytes little-endian length N, N bytes of JSON, then the data; offsets count from the data's start.
"""

import json
from dataclasses import dataclass
from operator import index
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantbench.errors import ModelError
from quantbench.sources.layout import Shape, count

if TYPE_CHECKING:
    import torch

MAX_HEADER_BYTES = 100_000_000
BLOCK = 1 << 24  # bytes compared at once
DTYPES = {  # name in the file -> (name in torch, bytes)
    "F64": ("float64", 8),
    "F32": ("float32", 4),
    "F16": ("float16", 2),
    "BF16": ("bfloat16", 2),
    "F8_E4M3": ("float8_e4m3fn", 1),
    "F8_E5M2": ("float8_e5m2", 1),
    "I64": ("int64", 8),
    "I32": ("int32", 4),
    "I16": ("int16", 2),
    "I8": ("int8", 1),
    "U8": ("uint8", 1),
    "BOOL": ("bool", 1),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTensor:
    """Where one tensor lies: `offset` and `size` in bytes from the file's start."""

    path: Path
    dtype: str
    shape: Shape
    offset: int
    size: int


def read_header(path: Path) -> dict[str, StoredTensor]:
    """All tensors of a file; ModelError when it is truncated or damaged."""
    try:
        total = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if total < 8 or length > MAX_HEADER_BYTES:
                raise damaged(path, "its header is no safetensors header")
            header = file.read(length)
    except OSError as error:
        raise ModelError(f"cannot read '{path}' ({error.strerror}); check its permissions") from error
    if len(header) < length:
        raise truncated(path, total, 8 + length)
    tensors = _parse(path, header, start=8 + length)
    end = max((t.offset + t.size for t in tensors.values()), default=8 + length)
    if total < end:
        raise truncated(path, total, end)
    return tensors


def read_tensor(stored: StoredTensor) -> "torch.Tensor":
    """The tensor on the CPU, in memory of its own."""
    import torch

    tensor = torch.empty(stored.shape, dtype=getattr(torch, DTYPES[stored.dtype][0]))
    if stored.size == 0:
        return tensor
    buffer = tensor.view(-1).view(torch.uint8).numpy().data
    with stored.path.open("rb", buffering=0) as file:
        file.seek(stored.offset)
        done = 0
        while done < stored.size:
            got = file.readinto(buffer[done:])
            if not got:
                raise truncated(stored.path, stored.offset + done, stored.offset + stored.size)
            done += got
    return tensor


def same_values(one: StoredTensor, other: StoredTensor) -> bool:
    """Whether two stored tensors are equal, compared in blocks where their type is the same."""
    if one.shape != other.shape:
        return False
    if one.dtype != other.dtype:
        return bool((read_tensor(one).double() == read_tensor(other).double()).all())
    with one.path.open("rb") as first, other.path.open("rb") as second:
        first.seek(one.offset)
        second.seek(other.offset)
        sizes = (min(BLOCK, one.size - done) for done in range(0, one.size, BLOCK))
        return all(first.read(size) == second.read(size) for size in sizes)


def damaged(path: Path, reason: str) -> ModelError:
    return ModelError(f"'{path}' is damaged: {reason}; download or save the model again")


def truncated(path: Path, has: int, needs: int) -> ModelError:
    return ModelError(
        f"'{path}' is truncated: it has {has:,} bytes of at least {needs:,}; download or copy it again"
    )


def _parse(path: Path, header: bytes, *, start: int) -> dict[str, StoredTensor]:
    try:
        entries = json.loads(header)
        if not isinstance(entries, dict):
            raise ValueError
    except (ValueError, RecursionError):
        raise damaged(path, "its header is not valid JSON") from None
    return {
        name: _parse_entry(path, name, entry, start)
        for name, entry in entries.items()
        if name != "__metadata__"
    }


def _parse_entry(path: Path, name: str, entry: Any, start: int) -> StoredTensor:
    try:
        dtype, shape = str(entry["dtype"]), tuple(index(size) for size in entry["shape"])
        begin, end = (index(offset) for offset in entry["data_offsets"])
    except (KeyError, TypeError, ValueError):  # index refuses what is no whole number
        raise damaged(path, f"the header's entry of '{name}' is incomplete") from None
    if dtype not in DTYPES:
        raise ModelError(f"'{name}' in '{path}' has the type {dtype}, which is not supported; convert it")
    if begin < 0 or min(shape, default=0) < 0 or end - begin != count(shape) * DTYPES[dtype][1]:
        raise damaged(path, f"the header gives '{name}' a size that does not match its shape")
    return StoredTensor(path=path, dtype=dtype, shape=shape, offset=start + begin, size=end - begin)
