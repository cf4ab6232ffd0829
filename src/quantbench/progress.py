"""How far a stage is: what long work tells whoever shows it."""

from typing import Protocol


class Progress(Protocol):
    """Told how far a stage is; total may be 0 when it is not known."""

    def __call__(self, stage: str, done: int, total: int) -> None: ...
