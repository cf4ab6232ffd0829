"""Four bits with whole zero points: never worse than rounding, and exact in every layout that has them."""

import pytest
import torch
from torch import Tensor

from quantbench.weights.quantizers.int4_asymmetric import held_scale, quantize_int4_asymmetric
from quantbench.weights.quantizers.int4_symmetric import quantize_int4_symmetric
from quantbench.weights.writers import compressed_tensors_module, ggml_tensor, gptq_module, integers_of

GROUP = 64


def weights(kind: str) -> Tensor:
    w = torch.randn(24, 4 * GROUP, generator=torch.Generator().manual_seed(1)) * 0.05
    return {
        "plain": w,
        "shifted": w + 0.1,
        "positive": w.abs() + 0.01,
        "negative": -w.abs() - 0.01,
        "outliers": w * torch.where(w > 0.1, 8.0, 1.0),
        "tiny": w * 1e-5,
        "zero": torch.zeros_like(w),
        "constant": torch.full_like(w, 0.3),
    }[kind]


KINDS = ("plain", "shifted", "positive", "negative", "outliers", "tiny", "zero", "constant")


def error(found: Tensor, wanted: Tensor, importance: Tensor | None = None) -> float:
    squares = (found.double() - wanted.double()).square()
    return float((squares if importance is None else squares * importance).sum())


def rounded(w: Tensor) -> Tensor:
    """Round to nearest over each group's range, 0 included, with a whole zero point."""
    groups = w.reshape(len(w), -1, GROUP).double()
    low, high = groups.amin(-1, keepdim=True).clamp_max(0), groups.amax(-1, keepdim=True).clamp_min(0)
    scale = held_scale(((high - low) / 15).float()).double()
    zero = (-low / scale).nan_to_num(8).round().clamp(1, 15)
    codes = ((groups / scale).nan_to_num(0).round() + zero).clamp(0, 15)
    return ((codes - zero) * scale).reshape(w.shape)


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_never_much_worse_than_rounding(kind: str) -> None:
    w = weights(kind)
    found = quantize_int4_asymmetric("w", w, group_size=GROUP).dequantize()
    assert error(found, w) <= error(rounded(w), w) * 1.01 + 1e-12


@pytest.mark.parametrize("kind", KINDS)
def test_every_layout_holds_its_values(kind: str) -> None:
    weight = quantize_int4_asymmetric("w", weights(kind), group_size=GROUP)
    held = integers_of(weight)
    values = (held.codes.reshape(*held.scale.shape, -1).float() - held.zero[..., None]) * held.scale[
        ..., None
    ]
    assert torch.equal(values.reshape(weight.shape), weight.dequantize())
    assert held.scale.dtype is torch.float16 and 1 <= int(held.zero.min()) <= int(held.zero.max()) <= 15
    for write in (compressed_tensors_module, gptq_module, ggml_tensor):
        write(weight)  # Unfit otherwise


@pytest.mark.parametrize("kind", KINDS)
def test_sixteen_bits_hold_every_weight(kind: str) -> None:
    values = quantize_int4_asymmetric("w", weights(kind), group_size=GROUP).dequantize()
    assert torch.equal(values.half().float(), values)


def test_zero_points_pay_where_groups_are_not_symmetric() -> None:
    w = weights("shifted")
    asymmetric, symmetric = (
        quantize("w", w, group_size=GROUP).dequantize()
        for quantize in (quantize_int4_asymmetric, quantize_int4_symmetric)
    )
    assert error(asymmetric, w) < 0.7 * error(symmetric, w)


def test_importance_moves_the_error_to_inputs_that_count_less() -> None:
    w = weights("plain")
    importance = torch.linspace(0.01, 10, w.shape[1])
    plain = quantize_int4_asymmetric("w", w, group_size=GROUP).dequantize()
    weighted = quantize_int4_asymmetric("w", w, group_size=GROUP, importance=importance).dequantize()
    assert error(weighted, w, importance) < error(plain, w, importance)
