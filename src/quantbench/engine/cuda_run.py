"""One call of `generate` on a device that must never wait for the host.

Steps are asked for several at a time; while they run, the host reads the tokens of those before and looks
for ends. A row may therefore run a few tokens past its end; they are dropped. Rows that end are replaced by
waiting requests, and when none wait, the last rows move down so that steps get smaller.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from quantbench.decoding import NO_TOKEN, FinishReason, Generation, Request
from quantbench.engine.batch import STOP_INTERVAL, Row, not_finite
from quantbench.engine.cuda_machine import Fetched, Machine

PREFILL_TOKENS = 16384  # of all prompts in one pass: bounds the memory of activations
LONGEST_RUN = 64  # steps asked for at once


@dataclass(slots=True)
class Seat:
    """A request in a row of the state, as far as the device has been asked to bring it."""

    row: Row
    place: int
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
    """Ids on their way to the host, and who sat where when they were asked for: (seat, place, tokens)."""

    fetched: Fetched
    seats: tuple[tuple[Seat, int, int], ...]


class CudaRun:
    """The requests of one call, until all have ended."""

    def __init__(
        self,
        machine: Machine,
        requests: Sequence[Request],
        on_finish: Callable[[int, Generation], None] | None,
    ) -> None:
        self._machine = machine
        self._waiting = deque(Row(index, request) for index, request in enumerate(requests))
        self._seats: list[Seat | None] = [None] * machine.state.rows
        self._results: list[Generation | None] = [None] * len(requests)
        self._on_finish = on_finish
        self._snapshots: deque[Snapshot] = deque()

    def finish(self, on_first_token: Callable[[], None] | None) -> list[Generation]:
        """Run until every request has ended."""
        self._machine.reset()
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

    def _busy(self) -> list[Seat]:
        return [seat for seat in self._seats if seat is not None]

    def _admit(self) -> None:
        """Prefill waiting requests into free rows, the lowest first, a few prompts at a time."""
        came = False
        for seats in self._groups():
            for seat in seats:
                self._seats[seat.place] = seat
            self._machine.prefill([s.row.request for s in seats], [s.place for s in seats])
            came = True
        if came:
            self._announce()

    def _groups(self) -> Iterator[list[Seat]]:
        free = [place for place, seat in enumerate(self._seats) if seat is None]
        group: list[Seat] = []
        tokens = 0
        for place in free:
            if not self._waiting:
                break
            tokens += len(self._waiting[0].request.prompt_ids)
            if group and tokens > PREFILL_TOKENS:
                yield group
                group, tokens = [], len(self._waiting[0].request.prompt_ids)
            group.append(Seat(self._waiting.popleft(), place))
        if group:
            yield group

    def _announce(self) -> None:
        self._machine.draw_for([seat.row.request if seat else None for seat in self._seats])

    def _ask(self) -> None:
        """As many steps as no row can end within, or a few where rows are watched or others wait."""
        seats = [seat for seat in self._busy() if seat.left > 0]
        if not seats:
            return
        count = min(min(seat.left for seat in seats), LONGEST_RUN)
        if any(seat.watched for seat in seats):
            count = min(count, STOP_INTERVAL)
        self._machine.steps(self._rows(), count)
        for seat in seats:
            seat.asked += count

    def _rows(self) -> int:
        """Rows up to the last one in use."""
        return max(seat.place for seat in self._busy()) + 1

    def _snap(self) -> None:
        seats = tuple((seat, seat.place, seat.asked) for seat in self._busy())
        self._snapshots.append(Snapshot(self._machine.fetch(self._rows()), seats))

    def _release_full(self) -> None:
        """Rows that have been asked for all their tokens need their place no more."""
        self._leave([seat for seat in self._busy() if seat.left <= 0])

    def _leave(self, seats: Sequence[Seat]) -> None:
        """Free the places of those that still have theirs."""
        places = [seat.place for seat in seats if self._seats[seat.place] is seat]
        for place in places:
            self._seats[place] = None
        if places:
            self._machine.idle(places)

    def _compact(self) -> None:
        """Move the last rows into free places when that makes a smaller step; only when nobody waits."""
        seats = self._busy()
        size = self._machine.graphs.bucket
        if self._waiting or size(len(seats)) == size(self._rows()):
            return
        free = iter([place for place in range(len(seats)) if self._seats[place] is None])
        for seat in [seat for seat in seats if seat.place >= len(seats)]:
            target = next(free)
            self._machine.move(seat.place, target)
            self._seats[seat.place], self._seats[target] = None, seat
            seat.place = target
        self._announce()

    def _read(self, snapshot: Snapshot) -> None:
        """Give each row its new tokens; rows that end leave their place."""
        ids = snapshot.fetched.wait()
        for seat, place, asked in snapshot.seats:
            if seat.ended:
                continue
            first = len(seat.row.request.prompt_ids)
            new = ids[place, first + len(seat.row.token_ids) : first + asked].tolist()
            reason = take_all(seat, new)
            if reason is not None:
                self._end(seat, reason)
        self._machine.give_back(snapshot.fetched)

    def _end(self, seat: Seat, reason: FinishReason) -> None:
        seat.ended = True
        self._leave([seat])
        generation = seat.row.finish(reason)
        self._results[seat.row.index] = generation
        if self._on_finish is not None:
            self._on_finish(seat.row.index, generation)


def take_all(seat: Seat, tokens: Sequence[int]) -> FinishReason | None:
    """Add tokens to a row until one ends it; NotFiniteError where the device could choose none."""
    row = seat.row
    if not seat.watched:
        if NO_TOKEN in tokens:
            raise not_finite(row.index, len(row.token_ids) + tokens.index(NO_TOKEN))
        row.token_ids.extend(tokens)
        full = len(row.token_ids) >= row.request.max_new_tokens
        return FinishReason.LENGTH if full else None
    for token in tokens:
        if reason := row.take(token):
            return reason
    return None
