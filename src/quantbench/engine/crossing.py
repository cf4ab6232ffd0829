"""Generation beyond the length at which a model's rotation changes (longrope), as transformers does it.

A text that outgrows that length is computed anew as a whole, once, and goes on from there: the request is
generated in two parts, the second of which has the first one's text as its prompt. Drawn tokens of the
second part have random numbers of their own.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from quantbench.decoding import FinishReason, Generation, Request
from quantbench.decoding.decoder import StopCheck
from quantbench.engine.config import ModelConfig

OnFirst = Callable[[], None] | None
OnFinish = Callable[[int, Generation], None] | None
Generate = Callable[[Sequence[Request], OnFirst, OnFinish], list[Generation]]
SECOND = 1 << 40  # changes a seed


def room_of(config: ModelConfig, request: Request) -> int | None:
    """New tokens until a request's text outgrows the length; None where it does not, or has before."""
    limit = min((rope.original_positions for rope in config.ropes if rope.long_factors), default=None)
    length = len(request.prompt_ids)
    if limit is None or length > limit or length + request.max_new_tokens - 1 <= limit:
        return None
    return limit + 1 - length


def in_parts(
    config: ModelConfig,
    generate: Generate,
    requests: Sequence[Request],
    on_first_token: OnFirst,
    on_finish: OnFinish,
) -> list[Generation]:
    """Generations of all requests, those that outgrow the length in two parts."""
    rooms = [room_of(config, request) for request in requests]
    if not any(rooms):
        return generate(requests, on_first_token, on_finish)

    def first_done(index: int, found: Generation) -> None:
        if on_finish is not None and not (rooms[index] and found.finish_reason is FinishReason.LENGTH):
            on_finish(index, found)

    begun = [
        request if room is None else replace(request, max_new_tokens=room)
        for request, room in zip(requests, rooms, strict=True)
    ]
    results = generate(begun, on_first_token, first_done)
    left = [i for i, found in enumerate(results) if rooms[i] and found.finish_reason is FinishReason.LENGTH]

    def last_done(place: int, found: Generation) -> None:
        index = left[place]
        results[index] = replace(found, token_ids=results[index].token_ids + found.token_ids)
        if on_finish is not None:
            on_finish(index, results[index])

    if left:
        rest = [second_part(requests[i], results[i].token_ids) for i in left]
        generate(rest, None, last_done)
    return results


def second_part(request: Request, written: tuple[int, ...]) -> Request:
    """What is left of a request once it has written so many tokens."""
    check = request.should_stop
    return replace(
        request,
        prompt_ids=request.prompt_ids + written,
        max_new_tokens=request.max_new_tokens - len(written),
        seed=request.seed ^ SECOND,
        should_stop=None if check is None else behind(written, check),
    )


def behind(written: tuple[int, ...], check: StopCheck) -> StopCheck:
    """A stop that sees the tokens of the first part before its own."""

    def whole(token_ids: Sequence[int], new: int) -> bool:
        return check((*written, *token_ids), new)

    return whole
