"""Decode steps as CUDA graphs: one for each number of rows in use, captured when first needed.

Without CUDA a step is simply called, so that the decoder's scheduling runs anywhere. The seconds spent
compiling and capturing are counted apart.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import torch

from quantbench.engine.cuda.state import IDLE, StepState

if TYPE_CHECKING:
    from torch.cuda import _POOL_HANDLE as MemoryPool

Step = Callable[[], None]


def buckets_of(rows: int) -> tuple[int, ...]:
    """The numbers of rows a step is made for: powers of two, and all rows."""
    smaller = (1 << power for power in range(rows.bit_length()))
    return (*(size for size in smaller if size < rows), rows)


class StepGraphs:
    """The steps over one state."""

    def __init__(self, state: StepState, make_step: Callable[[StepState], Step]) -> None:
        self._state, self._make = state, make_step
        self._buckets = buckets_of(state.rows)
        self._steps: dict[int, Step] = {}
        self.warmup_s = 0.0

    def bucket(self, rows: int) -> int:
        """The rows that a step computes when the first `rows` are in use."""
        return next(size for size in self._buckets if size >= rows)

    def step(self, rows: int) -> Step:
        """What runs one step over the first `bucket(rows)` rows."""
        size = self.bucket(rows)
        if size not in self._steps:
            started = time.perf_counter()
            self._steps[size] = self._prepared(self._state.first(size))
            self.warmup_s += time.perf_counter() - started
        return self._steps[size]

    def _prepared(self, state: StepState) -> Step:
        if state.tokens.device.type != "cuda":
            return self._make(state)
        # compiled and run once over idle rows, which write nothing: capturing must not compile
        idle = torch.full_like(state.positions, IDLE)
        self._make(replace(state, positions=idle))()
        step = self._make(state)
        return captured(step)


@cache
def capture_stream(device: int) -> torch.cuda.Stream:
    """One for all captures: libraries keep a workspace for each stream they have seen."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


def forget_workspaces() -> None:
    """Free what torch keeps for cuBLAS, 32 MiB a stream on Hopper; it is allocated again when needed."""
    forget = getattr(torch._C, "_cuda_clearCublasWorkspaces", None)
    if forget is not None:
        forget()


def captured(step: Step, pool: "MemoryPool | None" = None) -> Step:
    """A graph of one call of `step`; the buffers that it uses stay alive with it.

    What it allocates is the graph's own, or of a pool that graphs share of which one runs at a time.
    """
    torch.cuda.synchronize()
    forget_workspaces()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.stream(capture_stream(torch.cuda.current_device())):
        graph.capture_begin(pool, capture_error_mode="thread_local")
        try:
            step()
        finally:
            graph.capture_end()
    torch.cuda.synchronize()
    forget_workspaces()  # the graph's pool holds its own as long as it lives

    def replay(keep: Step = step) -> None:
        graph.replay()

    return replay
