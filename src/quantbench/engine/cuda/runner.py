"""Everything the CUDA decoder asks of a device, over one state: prefill, steps, moving rows, fetching ids.

All calls return before the device is done, save `Fetched.wait`. It decides nothing: `scheduler` does.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from quantbench.decoding import Request
from quantbench.decoding.sampler import Sampler
from quantbench.engine.cuda.graphs import StepGraphs
from quantbench.engine.cuda.prefill import PromptPass
from quantbench.engine.cuda.prompt_graphs import Prefill, PromptGraphs, put
from quantbench.engine.cuda.prompt_layout import to_device
from quantbench.engine.cuda.state import IDLE, StepState
from quantbench.engine.cuda.triton.rotate import Tables, prompt_tables
from quantbench.engine.cuda.triton_step import StepMaker


@dataclass(frozen=True, slots=True)
class Fetched:
    """Generated ids by row and position, on their way to the host."""

    ids: Tensor  # int32 [rows, capacity] on the host
    event: "torch.cuda.Event | None"

    def wait(self) -> Tensor:
        """The ids, once they are there."""
        if self.event is not None:
            self.event.synchronize()
        return self.ids


class ModelRunner:
    """One state with the passes over it."""

    def __init__(
        self, state: StepState, prompt_pass: PromptPass, tables: Tables, make_step: StepMaker
    ) -> None:
        self.state = state
        self.graphs = StepGraphs(state, make_step)
        self._prompt_pass = prompt_pass
        self._device = state.tokens.device
        self._sampler: Sampler | None = None
        self._lengths = torch.zeros(state.rows, dtype=torch.int64, device=self._device)
        width = prompt_pass.width
        self._ends = torch.empty(state.rows, width, dtype=prompt_pass.dtype, device=self._device)
        passes = (
            tables,
            prompt_tables(prompt_pass.config, tables, state.capacity),
        )  # of short prompts, of long
        self._compute = [
            PromptGraphs(Prefill(state, prompt_pass, these, self._lengths, self._ends)) for these in passes
        ]
        self._spare: list[Tensor] = []

    @property
    def warmup_s(self) -> float:
        """Seconds spent compiling and capturing."""
        return self.graphs.warmup_s + sum(passes.warmup_s for passes in self._compute)

    def reset(self) -> None:
        """All rows idle."""
        self.state.positions.fill_(IDLE)

    def prefill(
        self, requests: Sequence[Request], slots: Sequence[int], sources: Sequence[int | None]
    ) -> None:
        """Bring prompts into the rows at `slots` and put each one's first token there.

        Those without a source are computed, the others copied from the row that is their source.
        """
        new = [place for place, source in enumerate(sources) if source is None]
        if new:
            self._fill([requests[place].prompt_ids for place in new], [slots[place] for place in new])
        for request, slot, source in zip(requests, slots, sources, strict=True):
            if source is not None and source != slot:
                self._copy(source, slot, len(request.prompt_ids))
        chosen = new if self.state.logits is None else []  # what is computed chooses the best token itself
        left = [place for place in range(len(requests)) if place not in chosen]
        if left:
            self._choose([requests[place] for place in left], [slots[place] for place in left])

    def _fill(self, prompts: Sequence[Sequence[int]], slots: Sequence[int]) -> None:
        """Compute prompts, those together that are rotated alike."""
        config = self._prompt_pass.config
        for run in config.runs_alike(prompts):
            long = config.is_long(len(prompts[run[0]]))
            self._compute[long]([prompts[i] for i in run], [slots[i] for i in run])

    def _choose(self, requests: Sequence[Request], slots: Sequence[int]) -> None:
        """The first tokens after the final states of prompts in these rows."""
        rows = to_device(slots, self._device).long()
        lengths = to_device([len(request.prompt_ids) for request in requests], self._device).long()
        if self.state.logits is None:
            tokens = self._prompt_pass.best(self._ends[rows])
        else:
            logits = self._prompt_pass.logits(self._ends[rows])
            tokens = Sampler(requests, self._device)(logits, torch.zeros_like(lengths))
        self._lengths[rows] = lengths
        put(self.state, rows, lengths, tokens.int())

    def _copy(self, source: int, target: int, length: int) -> None:
        """The first positions of one row, and the final state of its prompt, onto another."""
        for cache in self.state.caches():
            cache[:, target, :, :length] = cache[:, source, :, :length]
        self._ends[target] = self._ends[source]

    def draw_for(self, requests: Sequence[Request | None]) -> None:
        """Whose settings the rows are sampled with from now on; only needed where the state has logits."""
        if self.state.logits is not None:
            blank = Request(prompt_ids=(), max_new_tokens=1)
            self._sampler = Sampler([request or blank for request in requests], self._device)

    def steps(self, rows: int, count: int) -> None:
        """`count` decode steps of the first `rows` rows."""
        step = self.graphs.step(rows)
        for _ in range(count):
            step()
            if self.state.logits is not None:
                self._draw(self.graphs.bucket(rows))

    def _draw(self, rows: int) -> None:
        """The tokens after a step that left logits; idle rows stay as they are."""
        state = self.state.first(rows)
        assert self._sampler is not None and state.logits is not None
        positions = state.positions.long()
        busy = (positions >= 0) & (positions < state.capacity)
        drawn = self._sampler(state.logits, positions + 1 - self._lengths[:rows]).int()
        drawn = torch.where(busy, drawn, state.tokens)
        last = state.capacity - 1
        at = (positions + 1).clamp(0, last)[:, None]
        kept = state.output.gather(1, at)
        fits = (busy & (positions < last))[:, None]
        state.output.scatter_(1, at, torch.where(fits, drawn[:, None], kept))
        state.tokens.copy_(drawn)
        state.positions.add_(busy.int())

    def idle(self, slots: Sequence[int]) -> None:
        """The rows at these slots have no work."""
        self.state.positions.index_fill_(0, to_device(slots, self._device).long(), IDLE)

    def move(self, source: int, target: int) -> None:
        """Let the row at `target` go on with what the one at `source` was doing, which becomes idle."""
        state = self.state
        for tensor in (state.tokens, state.positions, state.output, self._lengths, self._ends):
            tensor[target] = tensor[source]
        for cache in state.caches():
            cache[:, target] = cache[:, source]
        self.idle([source])

    def fetch(self, rows: int) -> Fetched:
        """The output of the first rows as it will be when everything asked for so far is done."""
        if self._device.type != "cuda":
            return Fetched(self.state.output[:rows].clone(), None)
        ids = self._spare.pop() if self._spare else self._host_buffer()
        ids[:rows].copy_(self.state.output[:rows], non_blocking=True)
        event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        event.record()
        return Fetched(ids, event)

    def give_back(self, fetched: Fetched) -> None:
        """The host buffer of ids that have been read may be used again."""
        if fetched.event is not None:
            self._spare.append(fetched.ids)

    def _host_buffer(self) -> Tensor:
        return torch.empty(self.state.output.shape, dtype=torch.int32, pin_memory=True)
