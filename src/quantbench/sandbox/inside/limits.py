"""What one program may use."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bytes, seconds, counts. CPU time is the limit that counts; wall time is generous, so that a busy
    machine fails no one. `processes` counts the threads of the user id that the box runs under."""

    cpu_s: int = 3
    wall_s: float = 12.0
    memory_bytes: int = 1 << 30
    file_bytes: int = 16 << 20
    scratch_bytes: int = 16 << 20
    scratch_files: int = 256
    descriptors: int = 64
    processes: int = 64
    stack_bytes: int = 8 << 20
