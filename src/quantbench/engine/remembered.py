"""Prompts that were computed once, for whoever reads the same ones again: final states, keys and values.

Answers and teacher forcing read a task's prompts by the same kernels. Copies are exact where a row's sums
have one order in every batch; nothing else may be remembered.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from quantbench.engine.kv_cache import KeyValueCache


@dataclass(frozen=True, slots=True)
class Held:
    """What a prompt's pass has left."""

    prompt: tuple[int, ...]
    exact: bool  # whether its activations had all their bits
    states: Tensor  # [tokens, hidden_size]
    parts: list[Tensor]  # of every tensor of the cache, [kv_heads, tokens, ...]

    def put(self, cache: KeyValueCache, row: int, length: int) -> None:
        """Its first tokens into a row of a cache."""
        for target, source in zip(cache.tensors(), self.parts, strict=True):
            target[row, :, :length] = source[:, :length]


class Remembered:
    """Prompts by their tokens, as many as fit into so many bytes."""

    def __init__(self, most_bytes: int) -> None:
        self._left = most_bytes
        self._held: dict[tuple[tuple[int, ...], bool], Held] = {}

    def keep(
        self, prompt: tuple[int, ...], states: Tensor, cache: KeyValueCache, row: int, *, exact: bool
    ) -> None:
        """Copy what a prompt's pass has left, its own states [tokens, hidden_size], if there is room."""
        length = len(prompt)
        size = states.nbytes + cache.nbytes // (cache.rows * cache.capacity) * length
        if size > self._left or (prompt, exact) in self._held:
            return
        self._left -= size
        parts = [tensor[row, :, :length].clone() for tensor in cache.tensors()]
        self._held[prompt, exact] = Held(prompt, exact, states.clone(), parts)

    def find(self, tokens: Sequence[int], *, exact: bool) -> Held | None:
        """A prompt that begins with these tokens."""
        wanted = tuple(tokens)
        if found := self._held.get((wanted, exact)):
            return found
        alike = (held for held in self._held.values() if held.exact is exact)
        return next((held for held in alike if held.prompt[: len(wanted)] == wanted), None)
