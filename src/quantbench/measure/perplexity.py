"""Perplexity of a text by two conventions of the field, which give unlike figures for the same model.

- `llama-perplexity` (llama.cpp): windows that follow each other; in each the tokens of the first half are
  context alone; a BOS token, where the tokenizer has one, takes the place of each window's first token; a
  file's last newline and what fills no window are left out.
- `transformers docs` ("Perplexity of fixed-length models"): windows that overlap, each counting the tokens
  that none before counted; a window's mean loss weighs one token less than it counts, as the page has it.

Raw sums are kept by window; figures are made of them by analysis.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from quantbench.decoding import Decoder
from quantbench.progress import Progress
from quantbench.records import Perplexity

if TYPE_CHECKING:
    from tokenizers import Tokenizer

LLAMA, DOCS = "llama-perplexity", "transformers docs"
STAGE = "perplexity"


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Tokens that are computed together; those from `first` on are counted, with this weight all together."""

    token_ids: tuple[int, ...]
    first: int
    weight: int

    @property
    def counted(self) -> int:
        """How many predictions are counted."""
        return len(self.token_ids) - self.first


def llama_windows(ids: Sequence[int], window: int, bos: int | None) -> list[Window]:
    """Windows of llama-perplexity with a context of `window` tokens; none for fewer than two windows."""
    count = len(ids) // window
    if count < 2:
        return []
    first = window // 2 + 1
    starts = range(0, count * window, window)
    return [
        Window(
            token_ids=(ids[start] if bos is None else bos, *ids[start + 1 : start + window]),
            first=first,
            weight=window - first,
        )
        for start in starts
    ]


def docs_windows(ids: Sequence[int], window: int, stride: int) -> list[Window]:
    """Windows of the transformers documentation; none for fewer than two tokens."""
    windows: list[Window] = []
    counted = 0
    for start in range(0, len(ids), stride):
        end = min(start + window, len(ids))
        new = end - counted
        if new > 1:
            first = max(1, end - start - new)
            windows.append(Window(token_ids=tuple(ids[start:end]), first=first, weight=new - 1))
        counted = end
        if end == len(ids):
            break
    return windows


def measure_perplexity(
    decoder: Decoder, tokenizer: "Tokenizer", path: Path, window: int, progress: Progress
) -> tuple[Perplexity, ...]:
    """Both conventions with windows of `window` tokens, or of as many as the model has positions.

    Each is left out where the text is too short for it.
    """
    text = path.read_text(encoding="utf-8")
    window = min(window, decoder.max_positions)
    stride = window // 2
    start = tokenizer.encode("").ids
    of_llama = llama_windows(
        tokenizer.encode(text.removesuffix("\n")).ids, window, start[0] if start else None
    )
    of_docs = docs_windows(tokenizer.encode(text).ids, window, stride)
    found = ((LLAMA, window, of_llama), (DOCS, stride, of_docs))
    return tuple(
        Perplexity(
            text=path.name,
            convention=convention,
            window=window,
            stride=step,
            nll=window_losses(decoder, windows, progress),
            counted=tuple(part.counted for part in windows),
            weights=tuple(part.weight for part in windows),
        )
        for convention, step, windows in found
        if windows
    )


def window_losses(decoder: Decoder, windows: Sequence[Window], progress: Progress) -> tuple[float, ...]:
    """Each window's losses over its counted tokens, nats; NotFiniteError where there are none."""
    import torch

    from quantbench.weights.finite import check_logits

    losses = []
    scores = decoder.score([part.token_ids for part in windows])
    for number, (part, logits) in enumerate(zip(windows, scores, strict=True), start=1):
        check_logits(logits, f"in window {number} of the text")
        following = torch.tensor(part.token_ids[part.first :], device=logits.device)
        loss = torch.nn.functional.cross_entropy(
            logits[part.first - 1 : len(part.token_ids) - 1].double(), following, reduction="sum"
        )
        losses.append(float(loss))
        progress(STAGE, number, len(windows))
    return tuple(losses)
