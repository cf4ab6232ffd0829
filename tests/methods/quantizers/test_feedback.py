"""Error feedback over the inputs' second moments."""

import pytest
import torch
from torch import Tensor

from quantbench.engine.cpu.search import find_int4_compiled, load_search, round_group_compiled
from quantbench.engine.cuda.triton.round_group import round_group_triton
from quantbench.engine.rounding import round_group_for
from quantbench.errors import ModelError
from quantbench.weights.formats import Weight
from quantbench.weights.quantizers import feedback
from quantbench.weights.quantizers.feedback import (
    Grid,
    RoundGroup,
    quantize_with_feedback,
    round_group,
    spreading,
    turns,
)
from quantbench.weights.quantizers.feedback_grids import FiveBitGrid, Int4Grid, find_int4
from quantbench.weights.quantizers.five_bits import quantize_q5_0
from quantbench.weights.quantizers.int4_double import quantize_int4_double

GROUP = 32


def correlated(tokens: int, inputs: int, seed: int = 0) -> Tensor:
    """Inputs [tokens, inputs] that depend on each other and differ in strength."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(inputs, inputs, generator=generator) / inputs**0.5 + torch.eye(inputs)
    return torch.randn(tokens, inputs, generator=generator) @ mixing * torch.logspace(-1, 0, inputs)


def weights(rows: int, inputs: int) -> Tensor:
    return torch.randn(rows, inputs, generator=torch.Generator().manual_seed(9)) * 0.03


def int4_grid() -> Grid:
    return Int4Grid("w", GROUP)


def five_bit_grid() -> Grid:
    return FiveBitGrid("w")


GRIDS = {"four bits": int4_grid, "five bits": five_bit_grid}
ALONE = {
    "four bits": lambda w, strengths: quantize_int4_double("w", w, group_size=GROUP, importance=strengths),
    "five bits": lambda w, strengths: quantize_q5_0("w", w, importance=strengths),
}
every_grid = pytest.mark.parametrize("grid", GRIDS)
compiled = pytest.mark.skipif(load_search() is None, reason="no C++ compiler")


def quantized(w: Tensor, x: Tensor, behind: Tensor | None = None, grid: str = "four bits") -> Weight:
    behind = x if behind is None else behind
    hessian, pull = behind.T @ behind / len(x), w @ ((x - behind).T @ behind) / len(x)
    return quantize_with_feedback(
        "w", w, hessian=hessian, pull=pull, grid=GRIDS[grid](), rounding=round_group
    )


def far(w: Tensor, held: Weight, x: Tensor, behind: Tensor | None = None) -> float:
    """Mean square of what the outputs lose."""
    behind = x if behind is None else behind
    return float((x @ w.T - behind @ held.dequantize().T).square().mean())


@every_grid
def test_outputs_lose_less_than_by_rounding_each_weight_for_itself(grid: str) -> None:
    x, w = correlated(2000, 128), weights(48, 128)
    alone = ALONE[grid](w, x.square().mean(0))
    assert far(w, quantized(w, x, grid=grid), x) < 0.8 * far(w, alone, x)


def test_what_it_gains_holds_on_inputs_it_has_not_seen() -> None:
    every, w = correlated(4000, 128), weights(48, 128)
    seen, unseen = every[:2000], every[2000:]
    alone = quantize_int4_double("w", w, group_size=GROUP, importance=seen.square().mean(0))
    assert far(w, quantized(w, seen), unseen) < 0.9 * far(w, alone, unseen)


@every_grid
def test_inputs_that_are_independent_and_equal_gain_nothing_and_lose_nothing(grid: str) -> None:
    w = weights(16, 64)
    held = quantize_with_feedback(
        "w",
        w,
        hessian=torch.eye(64),
        pull=torch.zeros_like(w),
        grid=GRIDS[grid](),
        rounding=round_group,
    )
    assert torch.equal(held.dequantize(), ALONE[grid](w, torch.ones(64)).dequantize())


def test_inputs_behind_other_quantized_matrices_are_made_up_for() -> None:
    x, w = correlated(2000, 128), weights(48, 128)
    behind = x + 0.2 * correlated(2000, 128, seed=1)
    assert far(w, quantized(w, x, behind), x, behind) < 0.9 * far(w, quantized(w, behind), x, behind)


def test_groups_take_their_turn_whole_and_the_strongest_first() -> None:
    energy = torch.cat((torch.full((GROUP,), 1.0), torch.full((GROUP,), 3.0), torch.full((GROUP,), 2.0)))
    assert [int(i) // GROUP for i in turns(energy, GROUP)[::GROUP]] == [1, 2, 0]
    assert sorted(turns(torch.rand(96), GROUP).tolist()) == list(range(96))


def test_the_triangle_is_a_root_of_the_inverse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feedback, "SOLVED", 8)
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
    monkeypatch.setattr(feedback, "DRIFT", 1.0)
    assert torch.allclose(held, quantized(w, x).dequantize())


@every_grid
@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_a_value_that_is_not_finite_is_refused_with_the_name(bad: float, grid: str) -> None:
    w = weights(3, 64)
    w[1, 2] = bad
    with pytest.raises(ModelError, match="'w' holds values that are not finite"):
        quantized(w, correlated(100, 64), grid=grid)


def one_group(rows: int, size: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Columns of a wider matrix, a triangle within a wider one, scales of which one is 0, and offsets."""
    x = correlated(500, 2 * size)
    spread = spreading(x.T @ x / 500)
    scale = torch.rand(rows, generator=torch.Generator().manual_seed(3)) * 0.01
    scale[rows // 2] = 0
    offset = torch.linspace(-0.02, 0.02, rows)
    return weights(rows, 2 * size)[:, size:], spread[:size, :size], scale, offset


def check_against_plain(rounding: RoundGroup, rows: int, size: int, device: torch.device) -> None:
    given = [part.to(device) for part in one_group(rows, size)]
    codes, errors = rounding(*given, (-8, 7))
    wanted_codes, wanted_errors = round_group(*given, (-8, 7))
    same = (codes == wanted_codes).all(1)
    assert same.float().mean() > 0.95  # a code between two is as good as either, and changes what follows
    assert torch.allclose(errors[same], wanted_errors[same], rtol=1e-3, atol=1e-5)


@compiled
@pytest.mark.parametrize("size", [32, 64])
@pytest.mark.parametrize("rows", [1, 37])
def test_the_compiled_rounding_of_a_group_is_that_of_plain_torch(rows: int, size: int) -> None:
    check_against_plain(round_group_compiled, rows, size, torch.device("cpu"))


def test_a_gpu_that_triton_cannot_use_rounds_in_plain_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    for reason, wanted in (("no C compiler", round_group), (None, round_group_triton)):
        monkeypatch.setattr(
            "quantbench.engine.cuda.support.triton_unsupported_reason", lambda _, reason=reason: reason
        )
        assert round_group_for(torch.device("cuda")) is wanted


@compiled
def test_the_compiled_search_of_a_group_finds_what_plain_torch_finds() -> None:
    w, strengths = weights(40, 128)[:, 32:64], torch.rand(32, generator=torch.Generator().manual_seed(1))
    by_row = torch.rand(40, generator=torch.Generator().manual_seed(2)) * 1e-4
    found, wanted = find_int4_compiled(w, strengths, by_row), find_int4(w, strengths, by_row)
    assert ((found[0] == wanted[0]) & (found[1] == wanted[1])).float().mean() > 0.95
