"""Products, embeddings and prompts' floats of GGUF blocks are those that the CPU reference dequantizes."""

from typing import Any

import pytest
import torch
from torch import Tensor

from quantbench.engine.cuda.triton.dequantize import dequantize
from quantbench.engine.cuda.triton.embed import embed
from quantbench.engine.cuda.triton.interleave import interleaved
from quantbench.engine.cuda.triton.linear import Epilogue, Tile, tiled_linear, tiles_of
from quantbench.engine.parameters import Matrix
from quantbench.weights.formats import FloatWeight, Weight, stack
from tests.engine.cuda.matrices import HALF, distance, poisoned
from tests.engine.cuda.matrices import normal as standard_normal
from tests.weights.test_ggml_blocks import PACKED, blocks

TILE = Tile(rows=64, tokens=16, inputs=128)
WIDE = ("Q4_K", "Q5_K", "Q6_K")  # 256 values a block
SHAPES = [(1, 64, 32), (3, 70, 64), (17, 130, 96), (5, 33, 128), (2, 65, 384)]  # tokens, out, in
LONG_SHAPES = [(rows, out, k) for rows in (1, 16, 33) for out in (1, 63, 200) for k in (32, 160, 192, 896)]


def normal(*shape: int, **options: Any) -> Tensor:
    """Small enough for sums of the blocks' values, which reach thousands, to be float16."""
    return standard_normal(*shape, **options) / 64


def held(name: str, out: int, inputs: int, seed: int = 0) -> Weight:
    """Random blocks; of types with 256 values a block as many inputs as those take."""
    return blocks(name, out, -(-inputs // 256) * 256 if name in WIDE else inputs, seed)


def matrix_of(weight: Weight, device: torch.device, *, bias: bool = False) -> Matrix:
    moved = weight.gpu_layout().map(lambda tensor: tensor.to(device))
    out = weight.shape[0]
    offset = normal(out, device=device, seed=5) if bias else None
    return Matrix(weight=moved, bias=offset, parts=(("matrix", out),))


def exact(weight: Weight, x: Tensor, bias: Tensor | None = None) -> Tensor:
    """float64 on the CPU, from the reference's dequantized values."""
    product = x.double().cpu() @ weight.dequantize().double().T
    return product if bias is None else product + bias.double().cpu()


def check_product(name: str, rows: int, out: int, inputs: int, device: torch.device, **options: Any) -> None:
    weight = held(name, out, inputs)
    matrix = matrix_of(weight, device, bias=True)
    x = normal(rows, weight.shape[1], device=device, dtype=options.get("dtype", HALF))
    y = poisoned(rows, out, device=device, dtype=x.dtype)
    tiled_linear(matrix, x, y, tile=options.get("tile", TILE))
    assert distance(y, exact(weight, x, matrix.bias)) < (1e-3 if x.dtype is HALF else 8e-3)


@pytest.mark.parametrize("name", PACKED)
def test_a_product_is_that_of_the_dequantized_blocks(device: torch.device, name: str) -> None:
    for rows, out, inputs in SHAPES[1:4:2]:
        check_product(name, rows, out, inputs, device)


@pytest.mark.long
@pytest.mark.parametrize("name", PACKED)
@pytest.mark.parametrize(("rows", "out", "inputs"), SHAPES + LONG_SHAPES)
def test_a_product_of_any_shape_is_that_of_the_dequantized_blocks(
    device: torch.device, name: str, rows: int, out: int, inputs: int
) -> None:
    check_product(name, rows, out, inputs, device)
    check_product(name, rows, out, inputs, device, tile=Tile(rows=64, tokens=32, more=16, inputs=64))


@pytest.mark.parametrize("name", PACKED)
def test_each_input_meets_its_own_weight(device: torch.device, name: str) -> None:
    weight = held(name, 16, 128)
    inputs = weight.shape[1]
    x, y = torch.eye(inputs, dtype=HALF, device=device), poisoned(inputs, 16, device=device)
    tiled_linear(matrix_of(weight, device), x, y, tile=Tile(rows=64, tokens=128, inputs=128))
    values = weight.dequantize().T
    torch.testing.assert_close(y.cpu().float(), values, rtol=0, atol=float(values.abs().max()) * 2**-9)


@pytest.mark.parametrize("name", PACKED)
def test_embedding_rows_are_the_dequantized_ones(device: torch.device, name: str) -> None:
    weight = held(name, 40, 96)
    tokens = torch.tensor([39, 0, -1, 40, 7], dtype=torch.int32, device=device)
    y = poisoned(5, weight.shape[1], device=device, dtype=torch.float32)
    embed(matrix_of(weight, device), tokens, y)
    assert distance(y, weight.dequantize(torch.tensor([39, 0, 0, 0, 7]))) < 1e-6


@pytest.mark.parametrize("name", PACKED)
def test_a_whole_matrix_is_dequantized(device: torch.device, name: str) -> None:
    weight = held(name, 19, 64)
    y = poisoned(*weight.shape, device=device)
    dequantize(matrix_of(weight, device).weight, y)
    assert distance(y, weight.dequantize()) < 5e-4


def mixture(inputs: int = 64) -> Weight:
    floats = FloatWeight((torch.randn(21, inputs) * 40).to(HALF))
    return stack([blocks("Q5_0", 56, inputs), blocks("Q8_0", 19, inputs, 1), floats])


def test_parts_of_several_types_write_beside_each_other(device: torch.device) -> None:
    weight = mixture()
    matrix, x = matrix_of(weight, device, bias=True), normal(3, 64, device=device)
    y, z = poisoned(3, 96, device=device), poisoned(96, 64, device=device)
    tiled_linear(matrix, x, y, tile=TILE)
    assert distance(y, exact(weight, x, matrix.bias)) < 1e-3
    dequantize(matrix.weight, z)
    assert distance(z, weight.dequantize()) < 5e-4


@pytest.mark.parametrize("order", [1, 16])
@pytest.mark.parametrize("mixed", [True, False])
def test_gates_meet_their_own_ups(device: torch.device, mixed: bool, order: int) -> None:
    weight = mixture() if mixed else blocks("Q4_1", 96, 64)
    matrix, x = matrix_of(weight, device, bias=True), normal(3, 64, device=device)
    y = poisoned(3, 48, device=device)
    tiled_linear(matrix, x, y, tile=TILE, epilogue=Epilogue.GATE, order=order)
    gate, up = exact(weight, x, matrix.bias).chunk(2, dim=-1)
    assert distance(y, interleaved(torch.nn.functional.silu(gate) * up, order)) < 2e-3


def test_partial_sums_over_slices_of_the_inputs_add_up(device: torch.device) -> None:
    weight = held("Q6_K", 70, 768)
    x, y = normal(3, 768, device=device), poisoned(3, 3, 70, device=device, dtype=torch.float32)
    tiled_linear(matrix_of(weight, device), x, y, tile=TILE)
    assert distance(y.sum(0), exact(weight, x)) < 1e-3


def test_each_tile_names_its_best_row(device: torch.device) -> None:
    weight = held("Q5_1", 150, 64)
    matrix, x = matrix_of(weight, device), normal(5, 64, device=device)
    tiles = tiles_of(matrix, TILE)
    best = poisoned(tiles, 5, device=device, dtype=torch.float32)
    ids = torch.full((tiles, 5), -7, dtype=torch.int32, device=device)
    tiled_linear(matrix, x, best, tile=TILE, epilogue=Epilogue.BEST, ids=ids)
    found = ids.gather(0, best.argmax(0, keepdim=True))[0].long().cpu()
    assert torch.equal(found, exact(weight, x).argmax(1))


@pytest.mark.parametrize("name", ["Q4_0", "Q5_1"])
def test_a_row_does_not_depend_on_its_neighbours_or_on_the_tile(device: torch.device, name: str) -> None:
    matrix = matrix_of(held(name, 128, 96), device)
    x = normal(33, 96, device=device)
    alone, together = poisoned(1, 128, device=device), poisoned(33, 128, device=device)
    tiled_linear(matrix, x[20:21], alone, tile=TILE)
    tiled_linear(matrix, x, together, tile=Tile(rows=128, tokens=32, inputs=32))
    assert torch.equal(alone[0], together[20])


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [HALF, torch.bfloat16])
@pytest.mark.parametrize("inputs", [96, 192, 896, 4864])
@pytest.mark.parametrize("name", PACKED)
def test_on_a_gpu_every_batch_size_agrees_on_real_shapes(
    device: torch.device, name: str, inputs: int, dtype: torch.dtype
) -> None:
    weight = held(name, 1152, inputs)
    matrix, x = matrix_of(weight, device), normal(256, weight.shape[1], device=device, dtype=dtype)
    wanted = x.double() @ weight.dequantize().to(device).double().T
    for tile in (TILE, Tile(rows=128, tokens=64, inputs=128, warps=8, stages=3)):
        for rows in (1, 8, 16, 40, 64, 164, 256):
            y = poisoned(rows, 1152, device=device, dtype=dtype)
            tiled_linear(matrix, x[:rows], y, tile=tile)
            assert distance(y, wanted[:rows]) < (1e-3 if dtype is HALF else 8e-3)


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["Q8_0", "Q4_0", "Q5_0", "Q6_K"])
def test_a_crowded_device_changes_no_sum(device: torch.device, name: str) -> None:
    """Weights in registers must not be overwritten while tensor cores, late for other blocks, read them."""
    weight = held(name, 2 * 8192, 3584)
    matrix, x = matrix_of(weight, device), normal(8, 3584, device=device)
    tile = Tile(rows=64, tokens=16, inputs=128, stages=4)
    found = [poisoned(8, 2 * 8192, device=device) for _ in range(20)]
    for y in found:
        tiled_linear(matrix, x, y, tile=tile)
    wanted = x.double() @ weight.dequantize().to(device).double().T
    assert all(distance(y, wanted) < 1e-3 for y in found)
