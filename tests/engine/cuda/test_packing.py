"""The kernels' layout holds the same values, bit for bit, and every row starts at 16 bytes."""

import pytest
import torch

from quantbench.weights.formats import FloatWeight, Int4Weight, Int8Weight
from quantbench.weights.formats.int4 import unpacked

SHAPES = [(3, 128, 128), (5, 576, 64), (1, 896, 128), (7, 96, 32)]


def int4(out: int, inputs: int, group: int) -> Int4Weight:
    torch.manual_seed(out * inputs)
    packed = torch.randint(0, 256, (out, inputs // 2), dtype=torch.uint8)
    scale = torch.rand(out, inputs // group).half()
    return Int4Weight(packed, scale, torch.randn_like(scale))


@pytest.mark.parametrize(("out", "inputs", "group"), SHAPES)
def test_packing_and_unpacking_gives_the_same_bits(out: int, inputs: int, group: int) -> None:
    weight = int4(out, inputs, group)
    again = unpacked(weight.gpu_layout())
    assert torch.equal(again.packed, weight.packed)
    assert torch.equal(again.scale, weight.scale)
    assert torch.equal(again.zero, weight.zero)


@pytest.mark.parametrize(("out", "inputs", "group"), SHAPES)
def test_a_packed_weight_dequantizes_to_the_same_values(out: int, inputs: int, group: int) -> None:
    weight = int4(out, inputs, group)
    assert torch.equal(weight.gpu_layout().dequantize(), weight.dequantize())
    rows = torch.tensor([out - 1, 0])
    assert torch.equal(weight.gpu_layout().dequantize(rows), weight.dequantize(rows))


def test_low_nibbles_of_a_group_are_its_first_half() -> None:
    values = torch.arange(32) % 16
    weight = Int4Weight(
        (values[0::2] | (values[1::2] << 4)).to(torch.uint8)[None],
        torch.ones(1, 1).half(),
        torch.zeros(1, 1).half(),
    )
    rows = weight.gpu_layout()
    bytes_ = rows.words.view(torch.uint8)[0, :16]
    assert (bytes_ & 15).tolist() == values[:16].tolist()
    assert (bytes_ >> 4).tolist() == values[16:].tolist()


@pytest.mark.parametrize(("out", "inputs", "group"), SHAPES)
def test_rows_are_whole_sixteen_byte_pieces(out: int, inputs: int, group: int) -> None:
    rows = int4(out, inputs, group).gpu_layout()
    assert rows.words.shape[1] % 4 == 0
    assert rows.words.shape[1] - rows.in_features // 8 - rows.groups < 4


def test_float_and_int8_weights_are_not_copied() -> None:
    floats = FloatWeight(torch.ones(2, 4))
    bytes_ = Int8Weight(torch.ones(2, 4, dtype=torch.int8), torch.ones(2))
    assert floats.gpu_layout() is floats
    assert bytes_.gpu_layout() is bytes_
