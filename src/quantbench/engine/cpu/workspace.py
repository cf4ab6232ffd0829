"""Where the large results of a prompt pass go: one buffer for each use, taken again in every layer.

Fresh memory for each of them cost a page fault per 4 KiB and layer, a third of the time of a prompt. The
buffers live from the start of one prompt pass to the next pass of any kind; between prompts and in token
passes every result is a tensor of its own.
"""

import torch
from torch import Tensor


class Workspace:
    """The buffers of one prompt pass, each as long as its longest use; it is overwritten at its next use."""

    def __init__(self) -> None:
        self._open = False
        self._held: dict[tuple[str, int], Tensor] = {}

    def open(self) -> None:
        """A prompt pass begins: its buffers are new."""
        self._open = True
        self._held.clear()

    def close(self) -> None:
        """It has ended: nothing is held."""
        self._open = False
        self._held.clear()

    def take(self, use: str, rows: int, columns: int) -> Tensor:
        """Uninitialised float32 [rows, columns]."""
        if not self._open:
            return torch.empty(rows, columns)
        held = self._held.get((use, columns))
        if held is None or len(held) < rows:
            held = self._held[use, columns] = torch.empty(rows, columns)
        return held[:rows]
