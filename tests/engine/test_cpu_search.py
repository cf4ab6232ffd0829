"""The compiled search against the one in plain torch."""

import pytest
import torch
from torch import Tensor

from quantbench.engine.cpu.search import load_search, quantize_compiled
from quantbench.errors import ModelError
from quantbench.weights.formats import Int4DoubleWeight
from quantbench.weights.quantizers.int4_double import quantize_int4_double

pytestmark = pytest.mark.skipif(load_search() is None, reason="no C++ compiler")
WIDTH = 384


def weights(rows: int = 50) -> Tensor:
    generator = torch.Generator().manual_seed(rows)
    return torch.randn(rows, WIDTH, generator=generator) * torch.rand(rows, 1, generator=generator)


def both(w: Tensor, group: int, importance: Tensor | None) -> tuple[Int4DoubleWeight, Int4DoubleWeight]:
    compiled = quantize_compiled("w", w, group_size=group, importance=importance)
    assert compiled is not None
    return compiled, quantize_int4_double("w", w, group_size=group, importance=importance)


def far(w: Tensor, held: Int4DoubleWeight, importance: Tensor | None) -> float:
    strengths = torch.ones(WIDTH) if importance is None else importance
    return float(((held.dequantize() - w).square() * strengths).sum())


IMPORTANCES = {
    "none": None,
    "unlike": torch.rand(WIDTH, generator=torch.Generator().manual_seed(1)).pow(4),
    "partly zero": torch.cat((torch.zeros(WIDTH // 2), torch.ones(WIDTH // 2))),
}


@pytest.mark.parametrize("group", [32, 64])
@pytest.mark.parametrize("name", IMPORTANCES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_it_finds_what_plain_torch_finds(group: int, name: str, dtype: torch.dtype) -> None:
    w, importance = weights().to(dtype), IMPORTANCES[name]
    compiled, plain = both(w, group, importance)
    assert far(w.float(), compiled, importance) == pytest.approx(far(w.float(), plain, importance), rel=1e-4)
    assert (compiled.packed == plain.packed).float().mean() > 0.98
    assert (compiled.affine == plain.affine).float().mean() > 0.98


@pytest.mark.parametrize("value", [0.0, 0.25, -3.0])
def test_rows_of_one_value_are_as_in_plain_torch(value: float) -> None:
    compiled, plain = both(torch.full((3, WIDTH), value), 64, None)
    assert torch.allclose(compiled.dequantize(), plain.dequantize(), atol=1e-6)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_a_value_that_is_not_finite_is_refused_with_the_name(bad: float) -> None:
    w = weights(3)
    w[1, 2] = bad
    with pytest.raises(ModelError, match="'some name' holds values that are not finite"):
        quantize_compiled("some name", w, group_size=64, importance=None)


def test_rows_of_another_matrix_in_memory_are_read_as_they_lie() -> None:
    w = weights(20)
    compiled, plain = both(w.T.contiguous().T[4:9], 64, None)
    assert torch.equal(compiled.packed, plain.packed)
