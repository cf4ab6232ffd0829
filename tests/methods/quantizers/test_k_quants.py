"""K blocks are those of ggml's own quantizers, save where two candidates are equally good."""

import base64

import pytest
import torch

from quantbench.sources.ggml_types import TYPES_BY_NAME
from quantbench.weights.formats import BlockWeight
from quantbench.weights.quantizers.k_quants import quantize_k
from tests.methods.quantizers.k_blocks import BLOCKS, COLUMNS, ROWS, values


def reference(kind: str) -> BlockWeight:
    data = torch.frombuffer(bytearray(base64.b64decode(BLOCKS[kind])), dtype=torch.uint8)
    return BlockWeight(data.reshape(ROWS, -1), kind)


@pytest.mark.parametrize("kind", BLOCKS)
def test_nearly_all_blocks_are_equal_byte_for_byte(kind: str) -> None:
    size = TYPES_BY_NAME[kind].nbytes
    ours, theirs = (weight.data.reshape(-1, size) for weight in (quantize_k(values(), kind), reference(kind)))
    assert float((ours == theirs).all(dim=1).float().mean()) > 0.7


@pytest.mark.parametrize("kind", BLOCKS)
def test_the_error_is_theirs(kind: str) -> None:
    """In another order sums differ in their last bits; the error must not."""
    x = values()
    ours, theirs = (
        float((weight.dequantize() - x).square().mean()) for weight in (quantize_k(x, kind), reference(kind))
    )
    assert ours == pytest.approx(theirs, rel=2e-3)


@pytest.mark.parametrize("kind", BLOCKS)
def test_zeros_and_constants_are_kept(kind: str) -> None:
    made = quantize_k(values(), kind).dequantize()
    assert made.isfinite().all()
    assert (made[0] == 0).all()
    assert torch.allclose(made[1], torch.full((COLUMNS,), 0.5), rtol=1e-2)
