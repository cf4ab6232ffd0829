import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from quantbench.errors import ModelError
from quantbench.weights.formats import Int4Weight
from quantbench.weights.formats.nibbles import pack_pairs
from quantbench.weights.quantizers import blocks
from quantbench.weights.quantizers.int4 import quantize_int4, regress, round_int4


def weights(rows: int, columns: int, seed: int = 0) -> Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed)) * 0.02


def plain_dequantize(held: Int4Weight) -> np.ndarray:
    """One weight at a time, from the definition."""
    packed = held.packed.numpy()
    scale, zero = held.scale.numpy().astype(np.float32), held.zero.numpy().astype(np.float32)
    values = np.empty(held.shape, dtype=np.float32)
    for row in range(held.shape[0]):
        for column in range(held.shape[1]):
            code = packed[row, column // 2] >> (4 * (column % 2)) & 15
            group = column // held.group_size
            step = np.float32(int(code) - 8) * scale[row, group]
            values[row, column] = step + zero[row, group]
    return values


def plain_rounding(w: Tensor, group_size: int) -> Tensor:
    """What the full range of each group gives: no search, float32 scale and zero."""
    groups = w.float().reshape(w.shape[0], -1, group_size)
    low, high = groups.aminmax(dim=-1, keepdim=True)
    step = (high - low) / 15
    return (((groups - low) / step).round() * step + low).reshape(w.shape)


def squared_error(found: Tensor, w: Tensor, importance: Tensor | None = None) -> float:
    error = (found - w.float()).double().square()
    return float((error if importance is None else error * importance).sum())


@given(rows=st.integers(1, 4), columns=st.integers(1, 16).map(lambda n: 2 * n), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=40)
def test_packing_and_unpacking_gives_the_codes_back(rows: int, columns: int, seed: int) -> None:
    codes = torch.randint(0, 16, (rows, columns), generator=torch.Generator().manual_seed(seed))
    one, none = torch.ones(rows, 1).half(), torch.zeros(rows, 1).half()
    assert torch.equal(Int4Weight(pack_pairs(codes), one, none).dequantize(), codes.float() - 8)


def test_the_even_input_lies_in_the_low_nibble() -> None:
    assert pack_pairs(torch.tensor([[3, 12]])).tolist() == [[3 + 16 * 12]]


@pytest.mark.parametrize("group_size", [32, 64])
def test_dequantizing_equals_the_plain_reference_bit_for_bit(group_size: int) -> None:
    held = quantize_int4("w", weights(5, 128), group_size=group_size)
    assert held.group_size == group_size
    assert held.dequantize().numpy().tobytes() == plain_dequantize(held).tobytes()


def test_chosen_rows_dequantize_like_all_of_them() -> None:
    held = quantize_int4("w", weights(7, 64), group_size=32)
    rows = torch.tensor([4, 0, 4])
    assert torch.equal(held.dequantize(rows), held.dequantize()[rows])


def test_every_weight_has_the_nearest_code() -> None:
    w = weights(6, 128)
    held = quantize_int4("w", w, group_size=64)
    grid = torch.arange(-8, 8) * held.scale.float()[..., None] + held.zero.float()[..., None]
    best = (grid.repeat_interleave(64, dim=1) - w[..., None]).abs().amin(dim=-1)
    assert torch.allclose((held.dequantize() - w).abs(), best, atol=1e-7)


@pytest.mark.parametrize("shape", ["normal", "skewed", "outliers"])
def test_the_search_loses_at_least_a_tenth_less_than_plain_rounding(shape: str) -> None:
    w = weights(64, 256)
    if shape == "skewed":
        w = w.abs()
    if shape == "outliers":
        w[:, ::100] *= 6
    found = squared_error(quantize_int4("w", w, group_size=128).dequantize(), w)
    assert found < 0.9 * squared_error(plain_rounding(w, 128), w)


def test_importance_lowers_the_weighted_error() -> None:
    w = weights(32, 128)
    importance = torch.rand(128, generator=torch.Generator().manual_seed(1)) ** 8
    uniform = quantize_int4("w", w, group_size=128).dequantize()
    weighted = quantize_int4("w", w, group_size=128, importance=importance).dequantize()
    assert squared_error(weighted, w, importance) < 0.9 * squared_error(uniform, w, importance)


def test_equal_importance_changes_nothing_but_rounding() -> None:
    w = weights(16, 128)
    uniform = squared_error(quantize_int4("w", w, group_size=64).dequantize(), w)
    weighted = quantize_int4("w", w, group_size=64, importance=torch.full((128,), 3.0)).dequantize()
    assert squared_error(weighted, w) == pytest.approx(uniform, rel=1e-3)


def test_the_regression_is_least_squares() -> None:
    w, q = weights(3, 32).reshape(3, 1, 32), torch.randint(-8, 8, (3, 1, 32)).float()
    importance = torch.rand(1, 1, 32) + 0.1
    scale, zero = regress(w, q, importance.sqrt())
    root = importance[0, 0].sqrt().double().numpy()
    for row in range(3):
        columns = np.stack([q[row, 0].double().numpy(), np.ones(32)], axis=1) * root[:, None]
        expected = np.linalg.lstsq(columns, w[row, 0].double().numpy() * root, rcond=None)[0]
        assert [scale[row, 0, 0].item(), zero[row, 0, 0].item()] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("value", [0.0, 0.37, -2.0])
def test_a_constant_group_comes_back_to_16_bits(value: float) -> None:
    held = quantize_int4("w", torch.full((2, 32), value), group_size=32)
    assert torch.allclose(held.dequantize(), torch.full((2, 32), value), rtol=2**-11, atol=0)


def test_tiny_weights_do_not_divide_by_a_vanished_scale() -> None:
    w = weights(2, 32) * 1e-7
    found = quantize_int4("w", w, group_size=32).dequantize()
    assert (found - w).abs().max().item() <= w.abs().max().item()


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, 1e6])
def test_a_value_that_does_not_fit_is_refused_with_the_name(bad: float) -> None:
    w = weights(3, 32)
    w[1, 2] = bad
    with pytest.raises(ModelError, match="'some name' holds values"):
        quantize_int4("some name", w, group_size=32)


def test_blocks_and_threads_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    w = weights(40, 64)
    whole = quantize_int4("w", w, group_size=32)
    threads = torch.get_num_threads()
    monkeypatch.setattr(blocks, "CPU_BLOCK", 3 * 64)
    torch.set_num_threads(2)
    try:
        split = quantize_int4("w", w, group_size=32)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(split.packed, whole.packed)
    assert torch.equal(split.scale, whole.scale)


def test_naive_rounding_dequantizes_like_the_plain_reference_bit_for_bit() -> None:
    held = round_int4("w", weights(5, 64))
    assert held.group_size == 64
    assert held.dequantize().numpy().tobytes() == plain_dequantize(held).tobytes()


def test_naive_rounding_is_symmetric() -> None:
    w = weights(8, 64)
    assert torch.equal(round_int4("w", -w).dequantize(), -round_int4("w", w).dequantize())


def test_naive_rounding_keeps_zero_at_zero() -> None:
    w = weights(4, 64)
    w[:, 5] = 0
    w[3] = 0
    found = round_int4("w", w).dequantize()
    assert found[:, 5].tolist() == [0] * 4
    assert found[3].tolist() == [0] * 64


def test_naive_rounding_loses_more_than_the_search() -> None:
    w = weights(64, 256)
    naive, searched = round_int4("w", w), quantize_int4("w", w, group_size=128)
    assert squared_error(naive.dequantize(), w) > 1.5 * squared_error(searched.dequantize(), w)
