"""Codes of cached keys and values: as near as their bits allow, whatever the numbers."""

import pytest
import torch

from quantbench.engine.kv_format import KV_CODES, codes_in, decode, encode, rounded
from quantbench.settings import KvFormat

FORMATS = list(KvFormat)
SPREADS = (1e-20, 1e-4, 1.0, 300.0, 6e4)


@pytest.mark.parametrize("spread", SPREADS)
def test_int8_errs_by_half_a_step_of_the_greatest_element_at_most(spread: float) -> None:
    x = torch.randn(50, 3, 64, generator=torch.Generator().manual_seed(1)) * spread
    step = x.abs().amax(-1, keepdim=True) / 127
    assert ((rounded(KV_CODES[KvFormat.INT8], x) - x).abs() <= 0.5001 * step).all()


@pytest.mark.parametrize("spread", SPREADS)
def test_fp8_errs_by_a_sixteenth_of_each_element_or_the_least_step(spread: float) -> None:
    x = torch.randn(50, 3, 64, generator=torch.Generator().manual_seed(1)) * spread
    least = x.abs().amax(-1, keepdim=True) / 448 * 2**-10
    error = (rounded(KV_CODES[KvFormat.FP8], x) - x).abs()
    assert (error <= 1.001 * torch.maximum(x.abs() / 16, least)).all()


@pytest.mark.parametrize("kv", FORMATS)
def test_what_was_held_once_is_held_without_further_error(kv: KvFormat) -> None:
    codes = KV_CODES[kv]
    once = rounded(codes, torch.randn(200, 64, generator=torch.Generator().manual_seed(2)))
    torch.testing.assert_close(rounded(codes, once), once, rtol=1e-6, atol=0)


@pytest.mark.parametrize("kv", FORMATS)
def test_zeros_are_zeros(kv: KvFormat) -> None:
    assert (rounded(KV_CODES[kv], torch.zeros(2, 16)) == 0).all()


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("kv", FORMATS)
def test_what_is_not_finite_makes_its_head_not_a_number_and_no_other(kv: KvFormat, bad: float) -> None:
    x = torch.ones(3, 16)
    x[1, 4] = bad
    found = rounded(KV_CODES[kv], x)
    assert found[1].isnan().all()
    assert (found[::2] == 1).all()


@pytest.mark.parametrize("kv", FORMATS)
def test_codes_tell_their_format_by_their_type(kv: KvFormat) -> None:
    held, scales = encode(KV_CODES[kv], torch.randn(4, 16))
    assert codes_in(held.dtype) is KV_CODES[kv]
    assert (held.element_size(), scales.dtype) == (1, torch.float32)
    assert decode(held, scales).shape == (4, 16)
