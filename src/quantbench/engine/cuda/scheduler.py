"""One call of `generate` on a device that must never wait for the host.

Steps are asked for several at a time; while they run, the host reads the tokens of those before and looks
for ends. A row may therefore run a few tokens past its end; they are dropped. Rows that end are replaced by
waiting requests, and when none wait, the last rows move down so that steps get smaller.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from quantbench.decoding import NO_TOKEN, FinishReason, Generation, Request
from quantbench.decoding.prompt_rows import PromptRows, fitting
from quantbench.decoding.sequence import STOP_INTERVAL, BatchRow, not_finite
from quantbench.engine.cuda.runner import Fetched, ModelRunner

PREFILL_TOKENS = 16384  # of all prompts in one pass: bounds the memory of activations
LONGEST_RUN = 64  # steps asked for at once, before the host looks at what has ended and who waits


@dataclass(slots=True)
class Slot:
    """A request in a row of the state, as far as the device has been asked to bring it."""

    row: BatchRow
    index: int
    asked: int = 1  # tokens generated when everything asked for is done
    ended: bool = False

    @property
    def watched(self) -> bool:
        """Whether it may end before its length."""
        request = self.row.request
        return bool(request.eos_ids) or request.should_stop is not None

    @property
    def left(self) -> int:
        return self.row.request.max_new_tokens - self.asked


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Ids on their way to the host, and who sat where when they were asked for: (slot, index, tokens)."""

    fetched: Fetched
    slots: tuple[tuple[Slot, int, int], ...]


class Scheduler:
    """The requests of one call, until all have ended."""

    def __init__(
        self,
        runner: ModelRunner,
        requests: Sequence[Request],
        on_finish: Callable[[int, Generation], None] | None,
    ) -> None:
        self._runner = runner
        self._waiting = deque(BatchRow(index, request) for index, request in enumerate(requests))
        self._slots: list[Slot | None] = [None] * runner.state.rows
        self._results: list[Generation | None] = [None] * len(requests)
        self._on_finish = on_finish
        self._prompts = PromptRows(request.prompt_ids for request in requests)
        self._snapshots: deque[Snapshot] = deque()

    def finish(self, on_first_token: Callable[[], None] | None) -> list[Generation]:
        """Run until every request has ended."""
        self._runner.reset()
        self._admit()
        self._snap()
        if on_first_token is not None:
            self._snapshots[-1].fetched.wait()
            on_first_token()
        while self._snapshots:
            self._release_full()
            self._admit()
            if self._busy():
                self._compact()
                self._ask()
                self._snap()
            if len(self._snapshots) > 1 or not self._busy():
                self._read(self._snapshots.popleft())
        return [generation for generation in self._results if generation is not None]

    def _busy(self) -> list[Slot]:
        return [slot for slot in self._slots if slot is not None]

    def _admit(self) -> None:
        """Prefill waiting requests into free rows, the lowest first, a few prompts at a time."""
        came = False
        for slots in self._groups():
            for slot in slots:
                self._slots[slot.index] = slot
            requests, rows = [slot.row.request for slot in slots], [slot.index for slot in slots]
            sources = self._prompts.admit([request.prompt_ids for request in requests], rows)
            self._runner.prefill(requests, rows, sources)
            came = True
        if came:
            self._announce()

    def _groups(self) -> Iterator[list[Slot]]:
        free = [index for index, slot in enumerate(self._slots) if slot is None]
        while free and self._waiting:
            next_ones = islice(self._waiting, len(free))
            count = fitting((row.request.prompt_ids for row in next_ones), PREFILL_TOKENS)
            yield [Slot(self._waiting.popleft(), index) for index in free[:count]]
            free = free[count:]

    def _announce(self) -> None:
        self._runner.draw_for([slot.row.request if slot else None for slot in self._slots])

    def _ask(self) -> None:
        """As many steps as no row can end within, or a few where rows are watched or others wait."""
        slots = [slot for slot in self._busy() if slot.left > 0]
        if not slots:
            return
        count = min(min(slot.left for slot in slots), LONGEST_RUN)
        if any(slot.watched for slot in slots):
            count = min(count, STOP_INTERVAL)
        self._runner.steps(self._rows(), count)
        for slot in slots:
            slot.asked += count

    def _rows(self) -> int:
        """Rows up to the last one in use."""
        return max(slot.index for slot in self._busy()) + 1

    def _snap(self) -> None:
        slots = tuple((slot, slot.index, slot.asked) for slot in self._busy())
        self._snapshots.append(Snapshot(self._runner.fetch(self._rows()), slots))

    def _release_full(self) -> None:
        """Rows that have been asked for all their tokens need their index no more."""
        self._leave([slot for slot in self._busy() if slot.left <= 0])

    def _leave(self, slots: Sequence[Slot]) -> None:
        """Free the indices of those that still have theirs."""
        indices = [slot.index for slot in slots if self._slots[slot.index] is slot]
        for index in indices:
            self._slots[index] = None
        if indices:
            self._runner.idle(indices)
            self._announce()  # fewer rows may make a smaller step, whose logits have no place for these

    def _compact(self) -> None:
        """Move the last rows into free indices when that makes a smaller step; only when nobody waits."""
        slots = self._busy()
        size = self._runner.graphs.bucket
        if self._waiting or size(len(slots)) == size(self._rows()):
            return
        free = iter([index for index in range(len(slots)) if self._slots[index] is None])
        for slot in [slot for slot in slots if slot.index >= len(slots)]:
            target = next(free)
            self._runner.move(slot.index, target)
            self._prompts.move(slot.index, target)
            self._slots[slot.index], self._slots[target] = None, slot
            slot.index = target
        self._announce()

    def _read(self, snapshot: Snapshot) -> None:
        """Give each row its new tokens; rows that end leave their index."""
        ids = snapshot.fetched.wait()
        for slot, index, asked in snapshot.slots:
            if slot.ended:
                continue
            first = len(slot.row.request.prompt_ids)
            new = ids[index, first + len(slot.row.token_ids) : first + asked].tolist()
            reason = take_all(slot, new)
            if reason is not None:
                self._end(slot, reason)
        self._runner.give_back(snapshot.fetched)

    def _end(self, slot: Slot, reason: FinishReason) -> None:
        slot.ended = True
        self._leave([slot])
        generation = slot.row.finish(reason)
        self._results[slot.row.index] = generation
        if self._on_finish is not None:
            self._on_finish(slot.row.index, generation)


def take_all(slot: Slot, tokens: Sequence[int]) -> FinishReason | None:
    """Add tokens to a row until one ends it; NotFiniteError where the device could choose none."""
    row = slot.row
    if not slot.watched:
        if NO_TOKEN in tokens:
            raise not_finite(row.index, len(row.token_ids) + tokens.index(NO_TOKEN))
        row.token_ids.extend(tokens)
        full = len(row.token_ids) >= row.request.max_new_tokens
        return FinishReason.LENGTH if full else None
    for token in tokens:
        if reason := row.take(token):
            return reason
    return None
