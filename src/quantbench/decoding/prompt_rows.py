"""Which row of a cache holds which prompt, so that several answers to one prompt compute it once.

Bookkeeping alone, as in `sequence`: no tensor is touched here. What a row holds stays until another prompt is
written over it: rows append behind their prompt, and a row that has ended is left as it is.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Protocol, runtime_checkable

Prompt = tuple[int, ...]


class PromptRows:
    """The prompts of one call that several requests have in common, by row."""

    def __init__(self, prompts: Iterable[Prompt]) -> None:
        self._waiting = Counter(prompts)
        self._held: dict[int, Prompt] = {}

    def admit(self, prompts: Sequence[Prompt], rows: Sequence[int]) -> list[int | None]:
        """Where each prompt, on its way into its row, is to be copied from once those without a source ran.

        None for one that must be computed; its own row where it lies there already. No source is overwritten
        by what is computed or copied.
        """
        kept = self._sources(rows)
        sources: list[int | None] = []
        for prompt, row in zip(prompts, rows, strict=True):
            self._waiting[prompt] -= 1
            source = row if self._held.get(row) == prompt else kept.get(prompt)
            sources.append(source)
            if source in (None, row):
                kept[prompt] = row
        self._held.update(zip(rows, prompts, strict=True))
        self._held = {row: held for row, held in self._held.items() if self._waiting[held] > 0}
        return sources

    def _sources(self, taken: Sequence[int]) -> dict[Prompt, int]:
        """A row for each prompt that is held in one which keeps it."""
        overwritten = set(taken)
        return {prompt: row for row, prompt in self._held.items() if row not in overwritten}

    def move(self, source: int, target: int) -> None:
        """One row was copied onto another."""
        prompt = self._held.get(source)
        if prompt is None:
            self._held.pop(target, None)
        else:
            self._held[target] = prompt


def fitting(prompts: Iterable[Prompt], budget: int) -> int:
    """How many of the first prompts have at most `budget` tokens, each counted once; one at least."""
    seen: set[Prompt] = set()
    tokens = count = 0
    for prompt in prompts:
        tokens += 0 if prompt in seen else len(prompt)
        if count and tokens > budget:
            break
        seen.add(prompt)
        count += 1
    return count


@runtime_checkable
class RemembersPrompts(Protocol):
    """A Decoder that need not compute a prompt again which it has computed; what it gives is the same."""

    def remember_prompts(self, most_bytes: int) -> None:
        """Keep what prompts leave from now on, in so many bytes at most; with 0 forget what was kept."""
        ...
