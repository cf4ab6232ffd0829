"""Q5_0 by our search: never worse than ggml's own, and better where inputs are unlike."""

import pytest
import torch

from quantbench.errors import ModelError
from quantbench.weights.quantizers.five_bits import BLOCK, quantize_q5_0

BAD = [torch.nan, torch.inf]


def weights(rows: int = 64, columns: int = 96, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, columns, generator=generator) * torch.rand(rows, 1, generator=generator)


def errors(w: torch.Tensor, held: torch.Tensor) -> torch.Tensor:
    """Squared error of each block."""
    return (held - w).square().reshape(len(w), -1, BLOCK).sum(-1)


def test_no_block_is_further_off_than_ggmls() -> None:
    gguf = pytest.importorskip("gguf")
    w, kind = weights(), gguf.GGMLQuantizationType.Q5_0
    ggmls = torch.from_numpy(gguf.dequantize(gguf.quantize(w.numpy(), kind), kind))
    ours, theirs = errors(w, quantize_q5_0("w", w).dequantize()), errors(w, ggmls)
    assert bool((ours <= theirs * 1.0001 + 1e-12).all())
    assert ours.sum() < 0.97 * theirs.sum()


def test_strong_inputs_are_closer_than_without_their_importance() -> None:
    w = weights()
    importance = torch.rand(w.shape[1], generator=torch.Generator().manual_seed(1)).pow(4)
    plain, heavy = (quantize_q5_0("w", w, importance=given).dequantize() for given in (None, importance))
    far = [float(((held - w).square() * importance).sum()) for held in (plain, heavy)]
    assert far[1] < 0.97 * far[0]


def test_it_takes_five_and_a_half_bits_a_weight() -> None:
    held = quantize_q5_0("w", weights())
    assert 8 * held.data.nbytes == 5.5 * 64 * 96


@pytest.mark.parametrize("value", [0.0, 0.25, -3.0])
def test_blocks_of_one_value_are_held_within_half_precision(value: float) -> None:
    w = torch.full((3, 64), value)
    assert torch.allclose(quantize_q5_0("w", w).dequantize(), w, rtol=1e-3)


@pytest.mark.parametrize("bad", BAD)
def test_a_value_that_is_not_finite_is_refused_with_the_name(bad: float) -> None:
    w = weights(3, 32)
    w[1, 2] = bad
    with pytest.raises(ModelError, match="'some name' holds values that are not finite"):
        quantize_q5_0("some name", w)
