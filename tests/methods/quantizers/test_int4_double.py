import numpy as np
import pytest
import torch
from torch import Tensor

from quantbench.errors import ModelError
from quantbench.weights.formats import Int4DoubleRows, Int4DoubleWeight
from quantbench.weights.formats.int4_double import unpacked_double
from quantbench.weights.quantizers.int4 import quantize_int4
from quantbench.weights.quantizers.int4_double import quantize_int4_double
from tests.methods.quantizers.test_int4 import plain_rounding, squared_error, weights


def plain_dequantize(held: Int4DoubleWeight) -> np.ndarray:
    """One weight at a time, from the definition."""
    packed, affine, scale = held.packed.numpy(), held.affine.numpy(), held.scale.numpy()
    values = np.empty(held.shape, dtype=np.float32)
    for row in range(held.shape[0]):
        for column in range(held.shape[1]):
            code = int(packed[row, column // 2] >> (4 * (column % 2)) & 15)
            step, zero = (int(part) for part in affine[row, column // held.group_size])
            values[row, column] = np.float32((code - 8) * step + 16 * (zero - 128)) * scale[row]
    return values


@pytest.mark.parametrize("group_size", [32, 64])
def test_dequantizing_equals_the_plain_reference_bit_for_bit(group_size: int) -> None:
    held = quantize_int4_double("w", weights(5, 128), group_size=group_size)
    assert held.group_size == group_size
    assert held.dequantize().numpy().tobytes() == plain_dequantize(held).tobytes()


@pytest.mark.parametrize("group_size", [32, 64])
def test_the_gpu_layout_holds_the_same_values_and_gives_them_back(group_size: int) -> None:
    held = quantize_int4_double("w", weights(6, 256), group_size=group_size)
    rows = held.gpu_layout()
    assert isinstance(rows, Int4DoubleRows)
    chosen = torch.tensor([5, 0, 5])
    assert torch.equal(rows.dequantize(), held.dequantize())
    assert torch.equal(rows.dequantize(chosen), held.dequantize(chosen))
    back = unpacked_double(rows)
    pairs = zip(back.tensors(), held.tensors(), strict=True)
    assert all(torch.equal(one, other) for (_, one), (_, other) in pairs)


def test_an_odd_group_has_no_gpu_layout() -> None:
    held = quantize_int4_double("w", weights(2, 192), group_size=64)
    assert held.gpu_layout() is held


def test_bytes_are_half_a_weight_two_a_group_and_four_a_row() -> None:
    held = quantize_int4_double("w", weights(6, 256), group_size=64)
    assert held.nbytes == Int4DoubleWeight.bytes_of(6, 256, 64) == 6 * (128 + 2 * 4 + 4)


@pytest.mark.parametrize("shape", ["normal", "skewed", "outliers", "rows of unlike size"])
def test_it_loses_less_than_plain_rounding_with_exact_scales(shape: str) -> None:
    w = weights(64, 256)
    if shape == "skewed":
        w = (50 * w).exp()
    if shape == "outliers":
        w[:, ::50] *= 6
    if shape == "rows of unlike size":
        w *= torch.logspace(-4, 4, 64)[:, None]
    for row in range(0, 64, 8):
        part = w[row : row + 8]
        held = quantize_int4_double("w", part, group_size=64)
        assert squared_error(held.dequantize(), part) < squared_error(plain_rounding(part, 64), part)


def test_groups_ten_ranges_away_from_zero_lose_at_most_a_fifth_to_coarse_zeros() -> None:
    w = weights(64, 256) + 1
    held = quantize_int4_double("w", w, group_size=64)
    assert squared_error(held.dequantize(), w) < 1.2 * squared_error(plain_rounding(w, 64), w)


def test_eight_bits_of_scale_cost_next_to_nothing_against_sixteen() -> None:
    w = weights(64, 512)
    double, single = (f("w", w, group_size=64).dequantize() for f in (quantize_int4_double, quantize_int4))
    assert squared_error(double, w) < 1.01 * squared_error(single, w)


def test_errors_count_by_the_strength_of_their_input() -> None:
    w = weights(32, 128)
    strength = torch.ones(128)
    strength[::16] = 100.0
    aware, blind = (
        quantize_int4_double("w", w, group_size=64, importance=given).dequantize()
        for given in (strength, None)
    )
    assert squared_error(aware, w, strength) < 0.7 * squared_error(blind, w, strength)


@pytest.mark.parametrize("value", [0.0, 0.3, -70000.0])
def test_a_constant_row_keeps_its_value(value: float) -> None:
    held = quantize_int4_double("w", torch.full((2, 64), value), group_size=32)
    assert torch.allclose(held.dequantize(), torch.full((2, 64), value), rtol=1e-6)


def test_inputs_that_are_never_there_do_not_disturb() -> None:
    strength = torch.ones(128)
    strength[:64] = 0
    held = quantize_int4_double("w", weights(4, 128), group_size=64, importance=strength)
    assert bool(held.dequantize().isfinite().all())


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_not_finite_is_refused(bad: float) -> None:
    w: Tensor = weights(4, 64)
    w[2, 5] = bad
    with pytest.raises(ModelError, match="'w'"):
        quantize_int4_double("w", w, group_size=32)
