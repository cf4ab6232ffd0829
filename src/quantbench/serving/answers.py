"""One streamed answer on its way: its tokens as they come, when each came, and when it may end."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from quantbench.decoding import FinishReason, Generation, Request
from quantbench.decoding.sequence import STOP_INTERVAL, BatchRow
from quantbench.errors import RefusedError, ServerError
from quantbench.serving.dialects import Piece, Timings, is_forced

if TYPE_CHECKING:
    from tokenizers import Tokenizer


@dataclass(slots=True)
class Answer:
    """What one request has been answered so far."""

    index: int
    request: Request
    tokenizer: "Tokenizer | None" = None  # to read text where the server names no ids
    clock: Callable[[], float] = time.perf_counter
    token_times: list[float] = field(default_factory=list)  # of each event that brought a token
    counts: list[int] = field(default_factory=list)  # tokens that each of them brought
    sent_s: float = 0.0
    last_s: float = 0.0  # when the last token or the end of the answer was told, whichever came later
    timings: Timings | None = None
    _row: BatchRow = field(init=False)
    _text: str = ""
    _reason: FinishReason | None = None
    _told: str | None = None  # how the server says that it ended
    _tokens: int | None = None
    _withheld: bool = False  # a token that ended inside a character came without its id

    def __post_init__(self) -> None:
        self._row = BatchRow(self.index, self.request)

    def take(self, piece: Piece) -> bool:
        """Add an event's news; whether the answer may end now, before the server ends it."""
        self.timings = piece.timings or self.timings
        self._told = piece.finish or self._told
        brought = piece.token_ids if piece.token_ids is not None else piece.text
        if piece.tokens is not None:
            skipped = piece.tokens - (self._tokens or 0) > len(piece.token_ids or ())
            self._withheld |= bool(piece.token_ids) and skipped
            self._tokens = piece.tokens
        self._text += piece.text
        if brought or piece.finish:
            self.last_s = self.clock()
        if brought:
            self.token_times.append(self.last_s)
            self.counts.append(len(brought) if piece.token_ids is not None else 1)
        if piece.token_ids is None and piece.text and len(self.counts) % STOP_INTERVAL == 0:
            self._look(self._encoded())
        for token in piece.token_ids or ():
            if self._reason is None:
                self._reason = self._row.take(token)
        return self._reason in (FinishReason.EOS, FinishReason.STOP)

    def _look(self, ids: list[int]) -> None:
        """Ask the request whether a text that came without ids may end."""
        if self.request.should_stop is not None and self.request.should_stop(ids, len(ids)):
            self._reason = FinishReason.STOP

    def _encoded(self) -> list[int]:
        if self.tokenizer is None:
            return []
        return list(self.tokenizer.encode(self._text, add_special_tokens=False).ids)

    @property
    def started(self) -> bool:
        """Whether the first token has come."""
        return bool(self.token_times)

    @property
    def generation(self) -> Generation:
        """The whole answer; ServerError for a stream that ended before its answer did."""
        if self._told is None and self._reason is None:
            raise ServerError(
                f"the stream of request {self.index} ended after {sum(self.counts)} tokens without an end of "
                "its answer; look into the server's log"
            )
        ids = self._row.token_ids
        unnamed = self._text and (self._withheld or not ids)
        if unnamed and self.tokenizer is not None:
            ids = self._encoded()
            self._look(ids)
        told = FinishReason.LENGTH if self._told == "length" else FinishReason.EOS
        return Generation(token_ids=tuple(ids), finish_reason=self._reason or told)

    def check_forced(self) -> None:
        """RefusedError where a length was forced and another one came, or no token can be timed."""
        if not is_forced(self.request):
            return
        asked = self.request.max_new_tokens
        came = sum(self.counts) if self._tokens is None else self._tokens
        if not self.started:
            raise RefusedError(
                "the server named no token of an answer by itself, as all of them end inside characters: its "
                "times are not known"
            )
        if came != asked:
            raise RefusedError(
                f"the server ended an answer after {came} of {asked} tokens, although it was asked to go on "
                "(ignore_eos, min_tokens): lengths cannot be forced there, so its speed is not measured"
            )

    def gaps(self) -> Iterator[float]:
        """Seconds between neighbouring events that brought tokens."""
        pairs = zip(self.token_times, self.token_times[1:], strict=False)
        return (later - earlier for earlier, later in pairs)
