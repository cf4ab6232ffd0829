import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from quantbench.errors import ModelError
from quantbench.weights.quantizers.int8 import quantize_int8, quantize_int8_groups


def weights(rows: int, columns: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed)) * 0.02


def test_dequantizing_equals_the_plain_reference_bit_for_bit() -> None:
    held = quantize_int8("w", weights(9, 24))
    plain = held.q.numpy().astype(np.float32) * held.scale.numpy()[:, None]
    assert held.dequantize().numpy().tobytes() == plain.tobytes()


@given(rows=st.integers(1, 5), columns=st.integers(1, 40), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=40)
def test_no_weight_is_further_off_than_half_a_step(rows: int, columns: int, seed: int) -> None:
    w = weights(rows, columns, seed)
    held = quantize_int8("w", w)
    steps = (held.dequantize() - w).abs() / held.scale[:, None]
    assert steps.max().item() <= 0.5001


def test_the_largest_weight_of_each_row_has_the_last_code() -> None:
    assert quantize_int8("w", weights(16, 50)).q.abs().amax(dim=1).tolist() == [127] * 16


def test_codes_are_symmetric() -> None:
    w = weights(4, 64)
    assert torch.equal(quantize_int8("w", -w).q, -quantize_int8("w", w).q)


def test_a_row_of_zeros_stays_zero() -> None:
    held = quantize_int8("w", torch.zeros(2, 8))
    assert torch.equal(held.dequantize(), torch.zeros(2, 8))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_storage_is_a_byte_a_weight_and_a_scale_a_row(dtype: torch.dtype) -> None:
    held = quantize_int8("w", weights(10, 30).to(dtype))
    assert sum(tensor.nbytes for _, tensor in held.tensors()) == 10 * 30 + 4 * 10


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_a_value_that_is_not_finite_is_refused_with_the_name(bad: float) -> None:
    w = weights(3, 8)
    w[1, 2] = bad
    with pytest.raises(ModelError, match="'some name' holds values that are not finite"):
        quantize_int8("some name", w)


def test_the_weights_handed_in_are_left_as_they_were() -> None:
    w = weights(3, 8)
    before = w.clone()
    quantize_int8("w", w)
    assert torch.equal(w, before)


def test_groups_dequantize_as_their_reference_bit_for_bit() -> None:
    held = quantize_int8_groups("w", weights(9, 96), group_size=32)
    scale = held.scale.numpy().astype(np.float32)
    plain = held.q.numpy().astype(np.float32) * np.repeat(scale, 32, axis=1)
    assert held.dequantize().numpy().tobytes() == plain.tobytes()


@given(
    rows=st.integers(1, 5),
    groups=st.integers(1, 4),
    size=st.sampled_from([16, 32, 128]),
    seed=st.integers(0, 99),
)
@settings(deadline=None, max_examples=40)
def test_no_weight_of_a_group_is_further_off_than_half_a_step_and_the_scales_rounding(
    rows: int, groups: int, size: int, seed: int
) -> None:
    w = weights(rows, groups * size, seed)
    held = quantize_int8_groups("w", w, group_size=size)
    steps = (held.dequantize() - w).reshape(rows, groups, size).abs() / held.scale.float()[..., None]
    assert steps.max().item() <= 0.5001 + 127 * 2**-11


def test_smaller_groups_are_nearer_to_weights_that_differ_in_size() -> None:
    w = weights(64, 512) * torch.logspace(-2, 0, 512)
    far = [(quantize_int8_groups("w", w, group_size=size).dequantize() - w).norm() for size in (32, 128, 512)]
    assert far == sorted(far) and far[0] < far[2] / 2


@pytest.mark.parametrize("value", [0.0, 1e-9])
def test_a_group_too_small_for_its_scale_becomes_zero(value: float) -> None:
    held = quantize_int8_groups("w", torch.full((2, 32), value), group_size=32)
    assert torch.equal(held.dequantize(), torch.zeros(2, 32))


def test_storage_of_groups_is_a_byte_a_weight_and_two_a_group() -> None:
    held = quantize_int8_groups("w", weights(10, 256), group_size=128)
    assert held.nbytes == held.bytes_of(10, 256, 128) == 10 * (256 + 2 * 2)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, 1e30])
def test_a_group_whose_scale_is_not_finite_is_refused_with_the_name(bad: float) -> None:
    w = weights(3, 32)
    w[1, 2] = bad
    with pytest.raises(ModelError, match="'some name' holds values"):
        quantize_int8_groups("some name", w, group_size=32)
