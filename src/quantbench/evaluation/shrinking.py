"""Answers in smaller batches where the device's memory runs out in the middle of a task.

What was answered before is kept; the rest is asked again at half the batch size, down to one. An engine whose
answers do not depend on their batch gives the same ones; with others they may differ in near ties, as they do
between any two batch sizes, so the record says which size the rest had.
"""

import gc
from collections.abc import Callable, Sequence

from quantbench.decoding import Decoder, Generation, Request
from quantbench.measure.speed import is_out_of_memory

OnFinish = Callable[[int, Generation], None]


def answer_all(
    decoder: Decoder,
    make: Callable[[int], Request],
    count: int,
    batch_size: int,
    on_finish: OnFinish,
) -> tuple[list[Generation], int]:
    """The answers to requests 0 to `count` - 1 in their order, and the batch size that the last had.

    Raises the device's own error where even one request alone has no room.
    """
    found: dict[int, Generation] = {}
    while len(found) < count:
        left = [place for place in range(count) if place not in found]
        if answer_some(decoder, [make(place) for place in left], left, batch_size, found, on_finish):
            continue
        batch_size = max(1, batch_size // 2)
        free_memory()
    return [found[place] for place in range(count)], batch_size


def answer_some(
    decoder: Decoder,
    requests: Sequence[Request],
    places: Sequence[int],
    batch_size: int,
    found: dict[int, Generation],
    on_finish: OnFinish,
) -> bool:
    """Whether all of them were answered; those that were before memory ran out are in `found` either way."""

    def keep(index: int, generation: Generation) -> None:
        if places[index] not in found:
            found[places[index]] = generation
            on_finish(places[index], generation)

    try:
        answers = decoder.generate(requests, batch_size=batch_size, on_finish=keep)
    except (MemoryError, RuntimeError) as error:
        if batch_size == 1 or not is_out_of_memory(error):
            raise
        return False
    found.update(zip(places, answers, strict=True))
    return True


def free_memory() -> None:
    """Give back what the failed batch held; its frames are gone once the exception is."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
