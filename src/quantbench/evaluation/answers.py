"""The text of an answer: what decoding prompt and answer together has behind the decoded prompt.

New tokens decoded alone are another text: many decoders treat the first token of what they are given unlike
the others (they strip its space, or put none before it). Knows no task and no model.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer

UNFINISHED = "\ufffd"  # what a decoder writes for bytes that are no whole character
WAITING = 3  # tokens that may wait for the rest of a character: it has at most four bytes
ANCHOR = 8  # tokens of the prompt that are decoded before new ones, doubled until they hold visible text


def answer_text(tokenizer: "Tokenizer", prompt_ids: Sequence[int], answer_ids: Sequence[int]) -> str:
    """The answer as text. Where a character lies across the boundary, the answer has all of it."""
    whole = tokenizer.decode([*prompt_ids, *answer_ids])
    return behind(tokenizer.decode(list(prompt_ids)), whole)


def behind(start: str, whole: str) -> str:
    """`whole` without what it has in common with `start`."""
    if whole.startswith(start):
        return whole[len(start) :]
    pairs = enumerate(zip(start, whole, strict=False))
    shared = next((place for place, (one, other) in pairs if one != other), min(len(start), len(whole)))
    return whole[shared:]


class StopStrings:
    """A StopCheck of one request: whether its answer holds one of the stops.

    Each token is decoded a bounded number of times, so that an answer costs in proportion to its length: new
    tokens are decoded behind those of the last call and a few of the prompt's, and the end of the text before
    them is kept. What they seem to hold is confirmed on the whole text before it ends a row.
    """

    def __init__(self, tokenizer: "Tokenizer", stops: Sequence[str], prompt_ids: Sequence[int]) -> None:
        self._tokenizer = tokenizer
        self._stops = tuple(stops)
        self._prompt_ids = tuple(prompt_ids)
        self._anchor = visible_end(tokenizer, prompt_ids)
        self._kept = max(map(len, self._stops), default=1) - 1  # characters in which a stop may begin
        self._restart()

    def _restart(self) -> None:
        self._seen = 0  # tokens that were handed in
        self._start = self._end = 0  # of the tokens before the new ones
        self._before = self._tokenizer.decode(self._anchor)  # their text, behind the anchor's
        self._tail = ""  # the end of the answer's text until there

    def __call__(self, token_ids: Sequence[int], new: int) -> bool:
        if len(token_ids) - new != self._seen:  # the same request is generated again
            self._restart()
        self._seen = len(token_ids)
        text = self._text(token_ids, len(token_ids))
        if self._held(self._tail + text) and self._confirm(token_ids):
            return True
        self._advance(token_ids, text)
        return False

    def _held(self, text: str) -> bool:
        return any(stop in text for stop in self._stops)

    def _confirm(self, token_ids: Sequence[int]) -> bool:
        return self._held(answer_text(self._tokenizer, self._prompt_ids, token_ids))

    def _text(self, token_ids: Sequence[int], end: int) -> str:
        """The text of the new tokens up to `end`."""
        return behind(self._before, self._tokenizer.decode([*self._anchor, *token_ids[self._start : end]]))

    def _advance(self, token_ids: Sequence[int], text: str) -> None:
        """Keep the end of the text up to its last whole character; tokens of an unfinished one wait."""
        end = len(token_ids)
        if text.endswith(UNFINISHED):
            for shorter in range(end - 1, max(self._end, end - WAITING) - 1, -1):
                part = self._text(token_ids, shorter)
                if not part.endswith(UNFINISHED):
                    end, text = shorter, part
                    break
        if end == self._end:
            return
        self._start, self._end = self._end, end
        self._before = self._tokenizer.decode([*self._anchor, *token_ids[self._start : end]])
        self._tail = (self._tail + text)[-self._kept :] if self._kept else ""


def visible_end(tokenizer: "Tokenizer", prompt_ids: Sequence[int]) -> list[int]:
    """The fewest of a prompt's last 8, 16, 32, ... tokens that hold visible text; all of them if none do."""
    count = ANCHOR
    while count < len(prompt_ids):
        end = list(prompt_ids[-count:])
        if tokenizer.decode(end).strip(f"{UNFINISHED} \n\t"):
            return end
        count *= 2
    return list(prompt_ids)
