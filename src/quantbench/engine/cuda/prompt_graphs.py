"""Prefill of a state's rows: prompts in, each one's first token out, all of it one captured graph.

A short prompt's pass is some two hundred launches of a few microseconds each: asked for one by one, the
host sets the pace. So prompts are padded to a few sizes (`prompt_layout`), and each size's pass is captured
when it is first met. Larger ones, and sizes beyond MOST_GRAPHS, run launch by launch.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from quantbench.engine.cuda.graphs import captured
from quantbench.engine.cuda.prefill import PromptPass
from quantbench.engine.cuda.prompt_layout import (
    PromptLayout,
    PromptSize,
    lay_out,
    numbers_of,
    padded,
    size_of,
    views,
)
from quantbench.engine.cuda.state import StepState
from quantbench.engine.cuda.triton.rotate import Tables

if TYPE_CHECKING:
    from torch.cuda import _POOL_HANDLE as MemoryPool

MOST_GRAPHS = 16  # sizes of one state: each holds its launches, and its first run takes some 20 ms more


@dataclass(frozen=True, slots=True)
class Prefill:
    """What a pass reads and fills."""

    state: StepState
    run: PromptPass
    tables: Tables
    lengths: Tensor  # int64 [rows]: of the prompts in the state's rows
    ends: Tensor  # activations [rows, hidden_size]: the states after them

    def __call__(self, layout: PromptLayout) -> None:
        """Ask for everything, launch by launch; without logits each row gets its prompt's best token."""
        hidden = self.run(layout, self.tables, self.state)
        ends, rows, lengths = hidden.index_select(0, layout.ends), layout.rows.long(), layout.lengths.long()
        self.ends.index_copy_(0, rows, ends)
        if self.state.logits is None:
            self.lengths.index_copy_(0, rows, lengths)
            put(self.state, rows, lengths, self.run.best(ends))


@dataclass(frozen=True, slots=True)
class PromptGraph:
    """One size's pass: what it reads its layout from, and what runs it."""

    numbers: Tensor
    replay: Callable[[], None]


class PromptGraphs:
    """The passes of one `Prefill`, by size."""

    def __init__(self, prefill: Prefill) -> None:
        self._prefill, self._device = prefill, prefill.state.tokens.device
        self._graphs: dict[PromptSize, PromptGraph] = {}
        self._pool: MemoryPool | None = None  # of all graphs: one runs at a time
        self.warmup_s = 0.0

    def __call__(self, prompts: Sequence[Sequence[int]], rows: Sequence[int]) -> None:
        """Fill these rows of the cache, and what else `Prefill` fills."""
        on_cuda = self._device.type == "cuda"
        size = padded(size_of(prompts))
        if size is None:
            self._prefill(lay_out(prompts, rows, self._device))
            return
        numbers = numbers_of(prompts, rows, size, pinned=on_cuda)
        if graph := self._graphs.get(size):
            graph.numbers.copy_(numbers, non_blocking=True)
            graph.replay()
            return
        numbers = numbers.to(self._device, non_blocking=True)
        self._prefill(views(numbers, size))  # compiles what the graph needs
        if on_cuda and len(self._graphs) < MOST_GRAPHS:
            started = time.perf_counter()
            self._graphs[size] = self._captured(numbers, size)
            self.warmup_s += time.perf_counter() - started

    def _captured(self, numbers: Tensor, size: PromptSize) -> PromptGraph:
        self._pool = self._pool or torch.cuda.graph_pool_handle()
        prefill, layout = self._prefill, views(numbers, size)
        return PromptGraph(numbers, captured(lambda: prefill(layout), self._pool))


def put(state: StepState, rows: Tensor, lengths: Tensor, tokens: Tensor) -> None:
    """Let rows, int64 [prompts], hold prompts of these lengths, int64, and their first tokens, int32."""
    state.tokens.index_copy_(0, rows, tokens)
    state.positions.index_copy_(0, rows, lengths.int())
    state.output[rows, lengths] = tokens
