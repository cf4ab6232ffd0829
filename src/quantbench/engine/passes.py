"""Passes of the plain decoder over known tokens: prompts, what follows them, both for teacher forcing.

A prompt may be multiplied with fewer bits than the tokens after it (see `linear.Linear`). What is scored
takes the arithmetic that answers: the prompt as a prompt, the rest as it is decoded, many tokens at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from quantbench.engine.kv_cache import KeyValueCache
from quantbench.engine.model import Model
from quantbench.engine.operations import Rotation
from quantbench.engine.remembered import Held, Remembered


@dataclass(frozen=True, slots=True)
class Manner:
    """How prompts are run."""

    exact: bool  # with all bits of their activations
    remembered: Remembered | None = None

    def find(self, tokens: Sequence[int]) -> Held | None:
        """A prompt that was run in this manner and begins with these tokens."""
        return self.remembered.find(tokens, exact=self.exact) if self.remembered and tokens else None


def prompt_pass(
    model: Model,
    prompts: Sequence[Sequence[int]],
    cache: KeyValueCache,
    rows: Sequence[int],
    *,
    ends_only: bool = False,
    exact: bool = False,
) -> Tensor:
    """Final states of whole prompts, [all tokens, hidden_size], or of each one's last token alone.

    Prompt i goes into row `rows[i]` of the cache. Without `exact` kernels for prompts may take fewer bits.
    """
    states = []
    for run in model.config.runs_alike(prompts):
        alike, places = [prompts[i] for i in run], [rows[i] for i in run]
        rotation = rotation_for(model, alike)
        states.append(filled(model, alike, cache, places, rotation, ends_only=ends_only, exact=exact))
    return torch.cat(states) if len(states) > 1 else states[0]


def rotation_for(model: Model, texts: Sequence[Sequence[int]]) -> Rotation:
    """That of texts which are rotated alike, with room for them."""
    longest = max(map(len, texts))
    model.rotation.reserve(longest)
    return model.rotation.of_texts(longest)


def filled(
    model: Model,
    prompts: Sequence[Sequence[int]],
    cache: KeyValueCache,
    rows: Sequence[int],
    rotation: Rotation,
    *,
    ends_only: bool = False,
    exact: bool,
) -> Tensor:
    """`prompt_pass` of prompts that are rotated alike."""
    lengths = [len(prompt) for prompt in prompts]
    attention = model.operations.prompt_attention(cache, rotation, lengths, rows)
    ids = torch.tensor([token for prompt in prompts for token in prompt], device=model.device)
    ends = torch.tensor(lengths, device=model.device).cumsum(0) - 1 if ends_only else None
    return model.hidden(ids, attention, ends, prompt=not exact)


def ends_of_prompts(
    model: Model,
    prompts: Sequence[tuple[int, ...]],
    cache: KeyValueCache,
    rows: Sequence[int],
    manner: Manner,
) -> Tensor:
    """Final states after whole prompts, [prompts, hidden_size]; what they leave is kept where asked."""
    if manner.remembered is None:
        return prompt_pass(model, prompts, cache, rows, ends_only=True, exact=manner.exact)
    states = prompt_pass(model, prompts, cache, rows, exact=manner.exact)
    parts = torch.split(states, [len(prompt) for prompt in prompts])
    for prompt, row, part in zip(prompts, rows, parts, strict=True):
        manner.remembered.keep(prompt, part, cache, row, exact=manner.exact)
    return torch.stack([part[-1] for part in parts])


def continuation_pass(
    model: Model,
    texts: Sequence[Sequence[int]],
    begins: Sequence[int],
    cache: KeyValueCache,
    rows: Sequence[int],
    rotation: Rotation,
) -> Tensor:
    """Final states [tokens, hidden_size] of each text from position `begins[i]` on, as they are decoded.

    What comes before is in row `rows[i]` of the cache.
    """
    spans = [range(begin, len(text)) for begin, text in zip(begins, texts, strict=True)]
    attention = model.operations.continuation_attention(cache, rotation, spans, rows)
    ids = [text[position] for text, span in zip(texts, spans, strict=True) for position in span]
    return model.hidden(torch.tensor(ids, device=model.device), attention)


def forced_states(
    model: Model, texts: Sequence[Sequence[int]], prompt_lengths: Sequence[int], manner: Manner
) -> Tensor:
    """Final states [all tokens, hidden_size] of texts: each one's prompt as a prompt, the rest as decoded.

    Rotated as the whole text is: one that outgrew a length while it was written is scored as it ended.
    Prompts that are remembered are not computed again.
    """
    states = [
        alike_states(model, [texts[i] for i in run], [prompt_lengths[i] for i in run], manner)
        for run in model.config.runs_alike(texts)
    ]
    return torch.cat(states) if len(states) > 1 else states[0]


def alike_states(
    model: Model, texts: Sequence[Sequence[int]], prompt_lengths: Sequence[int], manner: Manner
) -> Tensor:
    """The same of texts that are rotated alike."""
    rotation, longest = rotation_for(model, texts), max(map(len, texts))
    cache = model.cache(len(texts), longest)
    places = torch.split(torch.arange(sum(map(len, texts))), [len(text) for text in texts])
    pairs = list(enumerate(zip(texts, prompt_lengths, strict=True)))
    order, states = [], []
    new = []
    for row, (text, length) in pairs:
        held = manner.find(text[:length])
        if held is not None:
            held.put(cache, row, length)
            states.append(held.states[:length])
            order.append(places[row][:length])
        elif length:
            new.append(row)
    if rows := new:
        prompts = [texts[row][: prompt_lengths[row]] for row in rows]
        states.append(filled(model, prompts, cache, rows, rotation, exact=manner.exact))
        order += [places[row][: prompt_lengths[row]] for row in rows]
    if rows := [row for row, (text, length) in pairs if length < len(text)]:
        begins = [prompt_lengths[row] for row in rows]
        states.append(continuation_pass(model, [texts[row] for row in rows], begins, cache, rows, rotation))
        order += [places[row][prompt_lengths[row] :] for row in rows]
    return torch.cat(states)[torch.cat(order).argsort().to(model.device)]
