"""The rows in flight: which request sits in which row of the cache, what it has generated, when it ends.

Bookkeeping alone: no tensor is touched here, so all of it is tested without a model.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from quantbench.decoding.decoder import NO_TOKEN, FinishReason, Generation, Request
from quantbench.errors import NotFiniteError, UsageError

STOP_INTERVAL = 8  # new tokens between two looks for a stop; looking costs more than a token of a small model


@dataclass(slots=True)
class BatchRow:
    """One request in flight."""

    index: int  # in the caller's list
    request: Request
    token_ids: list[int] = field(default_factory=list)
    checked: int = 0  # tokens that should_stop has seen

    @property
    def length(self) -> int:
        """Tokens in the cache once the newest one has been fed."""
        return len(self.request.prompt_ids) + len(self.token_ids)

    @property
    def unwatched(self) -> int:
        """Tokens that may follow before anything but their own ids can end the row, at most STOP_INTERVAL."""
        left = min(self.request.max_new_tokens - len(self.token_ids), STOP_INTERVAL)
        unseen = len(self.token_ids) - self.checked
        return left if self.request.should_stop is None else min(left, STOP_INTERVAL - unseen)

    def take(self, token: int) -> FinishReason | None:
        """Add a token; the reason when it ends the row (an eos token is not kept).

        NotFiniteError for NO_TOKEN.
        """
        request = self.request
        if token == NO_TOKEN:
            raise not_finite(self.index, len(self.token_ids))
        if token in request.eos_ids:
            return FinishReason.EOS
        self.token_ids.append(token)
        full = len(self.token_ids) >= request.max_new_tokens
        if request.should_stop is not None:
            new = len(self.token_ids) - self.checked
            if new >= STOP_INTERVAL or full:
                self.checked += new
                if request.should_stop(self.token_ids, new):
                    return FinishReason.STOP
        return FinishReason.LENGTH if full else None

    def finish(self, reason: FinishReason) -> Generation:
        return Generation(token_ids=tuple(self.token_ids), finish_reason=reason)


def not_finite(request: int, tokens: int) -> NotFiniteError:
    """The error for a request whose logits name no token after so many new ones."""
    return NotFiniteError(f"the logits of request {request} after {tokens} new tokens are")


def check_ids(sequences: Sequence[Sequence[int]], vocab_size: int) -> None:
    """UsageError for a token the model does not have: its embedding has no row for it."""
    for number, ids in enumerate(sequences):
        if ids and not 0 <= min(ids) <= max(ids) < vocab_size:
            wrong = next(token for token in ids if not 0 <= token < vocab_size)
            raise UsageError(
                f"text {number} holds the token {wrong}, but the model has {vocab_size} of them; "
                "use the tokenizer that belongs to the model"
            )


def check_requests(requests: Sequence[Request], *, batch_size: int, max_positions: int) -> None:
    """UsageError for a request that cannot be generated."""
    if batch_size < 1:
        raise UsageError(f"batch size {batch_size} makes no sense; use at least 1")
    for number, request in enumerate(requests):
        if not request.prompt_ids:
            raise UsageError(f"request {number} has an empty prompt; give it at least one token")
        if request.max_new_tokens < 1:
            raise UsageError(f"request {number} asks for no new token; ask for at least 1")
        needed = len(request.prompt_ids) + request.max_new_tokens
        if needed > max_positions:
            raise UsageError(
                f"request {number} needs {needed} positions, but the model has {max_positions}; "
                "shorten the prompt or ask for fewer new tokens"
            )


def grouped(sequences: Sequence[Sequence[int]], budget: int) -> Iterator[list[Sequence[int]]]:
    """Neighbouring sequences of at most `budget` tokens together; a longer one stands alone."""
    group: list[Sequence[int]] = []
    for ids in sequences:
        if group and sum(map(len, group)) + len(ids) > budget:
            yield group
            group = []
        group.append(ids)
    if group:
        yield group
