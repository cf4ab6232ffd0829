"""Draws follow the probabilities, and a row's draws are its own."""

import pytest
import torch

from quantbench.decoding import NO_TOKEN, Request
from quantbench.decoding.sampler import Sampler, signed64, uniform

CPU = torch.device("cpu")


def request(temperature: float, top_p: float = 1.0, seed: int = 0) -> Request:
    return Request(prompt_ids=(1,), max_new_tokens=1, temperature=temperature, top_p=top_p, seed=seed)


def draws(logits: list[float], temperature: float, top_p: float, count: int = 4000) -> torch.Tensor:
    """Share of each token among the draws of one seed."""
    sampler = Sampler([request(temperature, top_p)] * count, CPU)
    tokens = sampler(torch.tensor([logits] * count), torch.arange(count))
    return torch.bincount(tokens, minlength=len(logits)) / count


def test_temperature_zero_takes_the_most_likely_token() -> None:
    logits = torch.tensor([[0.0, 3.0, 2.0], [5.0, 1.0, 1.0]])
    assert Sampler([request(0), request(0)], CPU)(logits, torch.zeros(2)).tolist() == [1, 0]


def test_draws_follow_the_softmax_of_logits_over_temperature() -> None:
    logits = [1.0, 2.0, 0.0, -1.0]
    expected = torch.softmax(torch.tensor(logits) / 0.7, dim=0)
    assert (draws(logits, 0.7, 1.0) - expected).abs().max() < 0.03  # four standard errors


def test_top_p_keeps_the_fewest_tokens_that_reach_it() -> None:
    logits = torch.tensor([0.1, 0.5, 0.15, 0.25]).log().tolist()
    shares = draws(logits, 1.0, 0.7)
    assert shares[0] == shares[2] == 0
    assert (shares[1] - 2 / 3).abs() < 0.03


def test_a_tiny_top_p_is_greedy() -> None:
    assert draws([1.0, 1.2, 0.0], 1.0, 1e-6)[1] == 1


def test_rows_of_every_kind_draw_as_they_do_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    kinds = [
        request(0),
        request(0.8, 1.0, 3),
        request(0.8, 0.9, 4),
        request(2.0, 0.5, 5),
        request(1.0, 1.0, 6),
    ]
    logits = torch.randn(5, 50, generator=generator) * 3
    counts = torch.tensor([4, 0, 9, 2, 7])
    together = Sampler(kinds, CPU)(logits, counts)
    for row, kind in enumerate(kinds):
        alone = Sampler([kind], CPU)(logits[row : row + 1], counts[row : row + 1])
        assert alone.item() == together[row].item()


def test_random_numbers_are_uniform_and_differ_by_seed_and_count() -> None:
    seeds = torch.arange(100).repeat_interleave(100)
    counts = torch.arange(100).repeat(100)
    numbers = uniform(seeds, counts)
    assert numbers.min() >= 0
    assert numbers.max() < 1
    assert len(numbers.unique()) == 10_000
    histogram = torch.histc(numbers, bins=10, min=0, max=1)
    assert ((histogram - 1000).abs() < 150).all()  # five standard errors


def test_seeds_beyond_64_bits_wrap() -> None:
    assert signed64(2**64 + 5) == 5
    assert signed64(2**63) == -(2**63)


@pytest.mark.parametrize("temperature", [0.0, 0.7])
@pytest.mark.parametrize("top_p", [1.0, 0.5])
def test_of_logits_that_are_not_finite_no_token_is_drawn(temperature: float, top_p: float) -> None:
    nan, inf = torch.nan, torch.inf
    logits = torch.tensor([[nan, 1, 2], [0, inf, 2], [-inf] * 3, [nan] * 3, [inf, nan, 0], [-inf, 5, -inf]])
    tokens = Sampler([request(temperature, top_p)] * 6, CPU)(logits, torch.zeros(6, dtype=torch.int64))
    assert tokens.tolist() == [NO_TOKEN] * 5 + [1]
