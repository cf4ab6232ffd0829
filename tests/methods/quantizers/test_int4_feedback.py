"""Error feedback over the inputs' second moments."""

import pytest
import torch
from torch import Tensor

from quantbench.errors import ModelError
from quantbench.weights.formats import Int4DoubleWeight
from quantbench.weights.quantizers import int4_feedback
from quantbench.weights.quantizers.int4_double import quantize_int4_double
from quantbench.weights.quantizers.int4_feedback import quantize_with_feedback, spreading, turns

GROUP = 32


def correlated(tokens: int, inputs: int, seed: int = 0) -> Tensor:
    """Inputs [tokens, inputs] that depend on each other and differ in strength."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(inputs, inputs, generator=generator) / inputs**0.5 + torch.eye(inputs)
    return torch.randn(tokens, inputs, generator=generator) @ mixing * torch.logspace(-1, 0, inputs)


def weights(rows: int, inputs: int) -> Tensor:
    return torch.randn(rows, inputs, generator=torch.Generator().manual_seed(9)) * 0.03


def quantized(w: Tensor, x: Tensor, behind: Tensor | None = None) -> Int4DoubleWeight:
    behind = x if behind is None else behind
    hessian, drift = behind.T @ behind / len(x), (x - behind).T @ behind / len(x)
    return quantize_with_feedback("w", w, hessian=hessian, drift=drift, group_size=GROUP)


def far(w: Tensor, held: Int4DoubleWeight, x: Tensor, behind: Tensor | None = None) -> float:
    """Mean square of what the outputs lose."""
    behind = x if behind is None else behind
    return float((x @ w.T - behind @ held.dequantize().T).square().mean())


def test_outputs_lose_less_than_by_rounding_each_weight_for_itself() -> None:
    x, w = correlated(2000, 128), weights(48, 128)
    alone = quantize_int4_double("w", w, group_size=GROUP, importance=x.square().mean(0))
    assert far(w, quantized(w, x), x) < 0.8 * far(w, alone, x)


def test_what_it_gains_holds_on_inputs_it_has_not_seen() -> None:
    every, w = correlated(4000, 128), weights(48, 128)
    seen, unseen = every[:2000], every[2000:]
    alone = quantize_int4_double("w", w, group_size=GROUP, importance=seen.square().mean(0))
    assert far(w, quantized(w, seen), unseen) < 0.9 * far(w, alone, unseen)


def test_inputs_that_are_independent_and_equal_gain_nothing_and_lose_nothing() -> None:
    w = weights(16, 64)
    none = torch.zeros(64, 64)
    held = quantize_with_feedback("w", w, hessian=torch.eye(64), drift=none, group_size=GROUP)
    alone = quantize_int4_double("w", w, group_size=GROUP, importance=torch.ones(64))
    assert torch.equal(held.dequantize(), alone.dequantize())


def test_inputs_behind_other_quantized_matrices_are_made_up_for() -> None:
    x, w = correlated(2000, 128), weights(48, 128)
    behind = x + 0.2 * correlated(2000, 128, seed=1)
    assert far(w, quantized(w, x, behind), x, behind) < 0.9 * far(w, quantized(w, behind), x, behind)


def test_groups_take_their_turn_whole_and_the_strongest_first() -> None:
    energy = torch.cat((torch.full((GROUP,), 1.0), torch.full((GROUP,), 3.0), torch.full((GROUP,), 2.0)))
    assert [int(i) // GROUP for i in turns(energy, GROUP)[::GROUP]] == [1, 2, 0]
    assert sorted(turns(torch.rand(96), GROUP).tolist()) == list(range(96))


def test_the_triangle_is_a_root_of_the_inverse() -> None:
    x = correlated(500, 64).double()
    hessian = x.T @ x / 500
    upper = spreading(hessian)
    assert torch.equal(upper, upper.triu())
    assert torch.allclose(upper.T @ upper @ hessian, torch.eye(64, dtype=torch.float64), atol=1e-8)


def test_inputs_that_never_occur_are_no_obstacle() -> None:
    x = correlated(300, 64)
    x[:, 40:] = 0
    w = weights(8, 64)
    held = quantized(w, x)
    assert held.dequantize().isfinite().all()
    assert far(w, held, x) < 0.01 * float((x @ w.T).square().mean())


def test_fewer_tokens_than_inputs_are_no_obstacle() -> None:
    assert quantized(weights(8, 128), correlated(10, 128)).dequantize().isfinite().all()


def test_rows_do_not_depend_on_each_other() -> None:
    x, w = correlated(300, 64), weights(12, 64)
    together, alone = quantized(w, x).dequantize(), quantized(w[5:6], x).dequantize()
    assert torch.allclose(together[5:6], alone, atol=1e-6)


def test_without_drift_the_way_of_moving_is_no_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    x, w = correlated(300, 64), weights(12, 64)
    held = quantized(w, x).dequantize()
    monkeypatch.setattr(int4_feedback, "DRIFT", 1.0)
    assert torch.allclose(held, quantized(w, x).dequantize())


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_a_value_that_is_not_finite_is_refused_with_the_name(bad: float) -> None:
    w = weights(3, 64)
    w[1, 2] = bad
    with pytest.raises(ModelError, match="'some name' holds values that are not finite"):
        quantize_with_feedback(
            "some name", w, hessian=torch.eye(64), drift=torch.zeros(64, 64), group_size=GROUP
        )
