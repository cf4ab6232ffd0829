"""The GPU layout of GGUF blocks holds the same bits, in as many bytes, and gives them back."""

import pytest
import torch

from quantbench.sources.ggml_types import TYPES_BY_NAME
from quantbench.weights.formats import BlockRows, BlockWeight, FloatWeight, MixedWeight, stack
from quantbench.weights.formats import block_rows as layout
from quantbench.weights.formats.block_codes import join_blocks, split_blocks
from tests.weights.test_ggml_blocks import PACKED, blocks


def widths(name: str) -> list[int]:
    """Inputs of which 32, 64 and 128 are the largest span."""
    return [256, 768] if TYPES_BY_NAME[name].values == 256 else [32, 96, 320, 896]


CASES = [(name, inputs) for name in PACKED for inputs in widths(name)]


@pytest.mark.parametrize("name", PACKED)
def test_codes_and_head_of_a_block_make_it_again(name: str) -> None:
    data = torch.randint(0, 256, (9, TYPES_BY_NAME[name].nbytes), dtype=torch.uint8)
    codes, head = split_blocks(name, data)
    assert codes.shape[1] == TYPES_BY_NAME[name].values
    assert torch.equal(join_blocks(name, codes, head), data)


@pytest.mark.parametrize(("name", "inputs"), CASES)
def test_the_blocks_come_back_byte_for_byte(name: str, inputs: int) -> None:
    held = blocks(name, 5, inputs)
    rows = held.gpu_layout()
    assert torch.equal(rows.blocks(), held.data)
    assert (rows.shape, rows.nbytes) == (held.shape, held.nbytes)
    assert (rows.format, rows.scheme, rows.group_size) == (held.format, held.scheme, held.group_size)


@pytest.mark.parametrize("name", PACKED)
def test_values_are_those_of_the_blocks(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "AT_ONCE", 1024)  # two rows at a time
    held, some = blocks(name, 7, 512), torch.tensor([6, 0, 3])
    rows = held.gpu_layout()
    assert torch.equal(rows.blocks(), held.data)
    assert torch.equal(rows.dequantize(), held.dequantize())
    assert torch.equal(rows.dequantize(some), held.dequantize(some))


@pytest.mark.parametrize("name", PACKED)
def test_stacked_rows_are_the_rows_of_stacked_blocks(name: str) -> None:
    one, other = blocks(name, 3, 256), blocks(name, 4, 256, seed=1)
    joined = stack([one.gpu_layout(), other.gpu_layout()])
    assert isinstance(joined, BlockRows)
    assert torch.equal(joined.blocks(), torch.cat([one.data, other.data]))


def test_every_row_of_codes_starts_at_sixteen_bytes() -> None:
    for name, inputs in CASES:
        assert blocks(name, 1, inputs).gpu_layout().codes.shape[1] % 4 == 0


def test_neighbours_of_one_type_become_one_part_on_a_gpu() -> None:
    parts = [blocks("Q5_1", 3, 64), blocks("Q5_1", 4, 64), blocks("Q8_0", 5, 64)]
    mixed = MixedWeight(tuple(parts))
    laid_out = mixed.gpu_layout()
    assert isinstance(laid_out, MixedWeight)
    assert [part.shape[0] for part in laid_out.parts] == [7, 5]
    assert torch.equal(laid_out.dequantize(), mixed.dequantize())
    assert laid_out.nbytes == mixed.nbytes


@pytest.mark.parametrize("name", ["Q4_0", "Q5_0"])
def test_a_small_mixture_that_q8_0_holds_exactly_is_one_part_on_a_gpu(name: str) -> None:
    mixed = stack([blocks(name, 6, 96), blocks(name, 4, 96), blocks("Q8_0", 5, 96)])
    laid_out = mixed.gpu_layout()
    assert isinstance(laid_out, BlockRows)
    assert torch.equal(laid_out.dequantize(), mixed.dequantize())
    assert laid_out.format == f"Q8_0, stored as {name}+Q8_0"
    assert laid_out.nbytes == blocks("Q8_0", 15, 96).nbytes


def test_a_mixture_that_would_grow_by_more_than_a_launch_costs_stays_one() -> None:
    mixed = stack([blocks("Q5_0", 3000, 1024), blocks("Q8_0", 64, 1024)])
    assert isinstance(mixed.gpu_layout(), MixedWeight)


def test_a_mixture_has_gpu_kernels_where_all_its_parts_take_inputs_as_they_are() -> None:
    eight: BlockWeight = blocks("Q8_0", 2, 64)
    assert MixedWeight((eight, FloatWeight(torch.ones(2, 64).half()))).has_gpu_kernel
    other = stack([FloatWeight(torch.ones(2, 64).half())])
    assert MixedWeight((eight.gpu_layout(), other)).has_gpu_kernel


@pytest.mark.parametrize("inputs", [32, 96, 896])
@pytest.mark.parametrize("name", ["Q8_0", "Q4_0"])
def test_whole_rows_hold_the_values_of_the_blocks(name: str, inputs: int) -> None:
    held = blocks(name, 7, inputs)
    rows = held.whole_rows()
    assert rows is not None
    assert torch.equal(rows.dequantize(), held.dequantize())
    assert (rows.shape, rows.format, rows.scheme) == (held.shape, held.format, held.scheme)
    assert rows.group_size == held.group_size


def test_whole_rows_take_the_bytes_of_their_blocks_and_of_zero_points() -> None:
    eight, four = (blocks(name, 3, 1024) for name in ("Q8_0", "Q4_0"))
    assert [rows.nbytes for rows in (eight.whole_rows(), four.whole_rows()) if rows] == [
        eight.nbytes,
        four.nbytes + 3 * 2 * 1024 // 32,
    ]


def test_other_types_have_no_rows_that_hold_them_exactly() -> None:
    assert all(blocks(name, 2, 256).whole_rows() is None for name in PACKED if name not in ("Q8_0", "Q4_0"))
