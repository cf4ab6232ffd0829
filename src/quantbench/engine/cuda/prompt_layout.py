"""Where the tokens of some prompts lie on the device: one after another, as they are or padded at their end.

Padding belongs to no prompt: it is embedded, multiplied and dropped. It changes no number of a prompt's own
tokens, since nothing that the passes compute mixes tokens save attention, which stays within prompts. numpy
makes the numbers: torch's operators wake all cores for a few hundred integers.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch
from torch import Tensor

from quantbench.engine.cuda.state import IDLE

MOST_TOKENS = 4096  # from which on a pass is not padded: the device is busy longer than the host asks
STEPS = ((32, 16), (512, 64), (1024, 128), (MOST_TOKENS, 256))  # up to so many tokens, multiples of so many
SHORT = 256  # tokens: prompts up to here take smaller tiles of queries


@dataclass(frozen=True, slots=True)
class PromptSize:
    """What fixes a pass's launches."""

    tokens: int  # of all prompts
    prompts: int
    longest: int  # tokens of one prompt, at most

    @property
    def numbers(self) -> int:
        """Integers that say where everything lies."""
        return 3 * self.tokens + 4 * self.prompts + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptLayout:
    """int32 tensors. Prompts that only pad are empty and end where the first one ends."""

    ids: Tensor  # [tokens]
    slot_mapping: Tensor  # [2, tokens]: row of the cache, IDLE for padding; position
    starts: Tensor  # [prompts + 1]: first token of each prompt, and the end
    ends: Tensor  # [prompts]: last token of each
    rows: Tensor  # [prompts]: row of the cache
    lengths: Tensor  # [prompts]
    longest: int


def size_of(prompts: Sequence[Sequence[int]]) -> PromptSize:
    """Without padding."""
    counts = [len(prompt) for prompt in prompts]
    return PromptSize(sum(counts), len(counts), max(counts))


def padded(size: PromptSize) -> PromptSize | None:
    """One of few sizes that holds it; None where it is so large that padding gains nothing."""
    if size.tokens > MOST_TOKENS:
        return None
    step = next(step for most, step in STEPS if size.tokens <= most)
    tokens = -(-size.tokens // step) * step
    short = size.longest <= SHORT
    return PromptSize(tokens, 1 << (size.prompts - 1).bit_length(), min(tokens, SHORT) if short else tokens)


def views(numbers: Tensor, size: PromptSize) -> PromptLayout:
    """The layout whose tensors lie one after another in `numbers`."""
    tokens, prompts = size.tokens, size.prompts
    lengths_of_parts = [tokens, 2 * tokens, prompts + 1, prompts, prompts, prompts]
    ids, mapping, starts, *rest = torch.split(numbers, lengths_of_parts)
    ends, rows, lengths = rest
    return PromptLayout(
        ids=ids,
        slot_mapping=mapping.view(2, tokens),
        starts=starts,
        ends=ends,
        rows=rows,
        lengths=lengths,
        longest=size.longest,
    )


def numbers_of(
    prompts: Sequence[Sequence[int]], rows: Sequence[int], size: PromptSize, *, pinned: bool = False
) -> Tensor:
    """int32 [size.numbers] on the host: what `views` shows of prompts in these rows of the cache."""
    numbers = torch.zeros(size.numbers, dtype=torch.int32, pin_memory=pinned)
    layout = views(numbers, size)
    ids, mapping, starts = (part.numpy() for part in (layout.ids, layout.slot_mapping, layout.starts))
    lengths, in_rows = np.array([len(prompt) for prompt in prompts]), np.array(rows)
    tokens, count, stops = int(lengths.sum()), len(prompts), lengths.cumsum()
    ids[:tokens] = np.frombuffer(array("i", chain.from_iterable(prompts)), dtype=np.int32)
    mapping[0, tokens:] = IDLE
    mapping[0, :tokens] = np.repeat(in_rows, lengths)
    mapping[1, :tokens] = np.arange(tokens) - np.repeat(stops - lengths, lengths)
    starts[1:] = tokens
    starts[1 : count + 1] = stops
    for told, values in ((layout.ends, stops - 1), (layout.rows, in_rows), (layout.lengths, lengths)):
        held = told.numpy()
        held[:] = values[0]
        held[:count] = values
    return numbers


def lay_out(prompts: Sequence[Sequence[int]], rows: Sequence[int], device: torch.device) -> PromptLayout:
    """Prompts without padding; one copy to the device, which the host does not wait for."""
    size = size_of(prompts)
    numbers = numbers_of(prompts, rows, size, pinned=device.type == "cuda")
    return views(numbers.to(device, non_blocking=True), size)


def to_device(numbers: Sequence[int] | Tensor, device: torch.device) -> Tensor:
    """int32 [len(numbers)] on the device."""
    data = torch.as_tensor(numbers, dtype=torch.int32)
    return data.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else data
