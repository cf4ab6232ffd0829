"""A Decoder for tests whose prediction depends on the last token alone, so that every figure is known."""

from collections.abc import Iterator, Sequence

import torch


class BigramDecoder:
    """`table` [vocabulary, vocabulary] holds the logits after each token."""

    engine = "native"
    device = "cpu"
    max_positions = 64

    def __init__(self, table: torch.Tensor) -> None:
        self.table = table
        self.vocab_size = table.shape[1]
        self.scored: list[list[int]] = []

    def score(
        self, sequences: Sequence[Sequence[int]], prompt_lengths: Sequence[int] | None = None
    ) -> Iterator[torch.Tensor]:
        self.prompt_lengths = prompt_lengths
        for sequence in sequences:
            self.scored.append(list(sequence))
            yield self.table[torch.tensor(sequence)]


def random_table(vocab_size: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 3 * torch.randn(vocab_size, vocab_size, generator=generator)
