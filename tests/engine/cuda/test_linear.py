"""Products for many rows agree with dequantize-then-multiply, and do not depend on neighbours or tiles."""

from typing import Any

import pytest
import torch
from torch import Tensor

from quantbench.engine.cuda.triton.interleave import interleave_of, interleaved
from quantbench.engine.cuda.triton.linear import (
    Epilogue,
    Tile,
    gate_reference,
    linear_reference,
    tiled_linear,
    tiled_linear_reference,
    tiles_of,
)
from quantbench.engine.parameters import Matrix
from tests.engine.cuda.matrices import SCHEMES, distance, normal, poisoned, random_matrix

TILE = Tile(rows=64, tokens=16, inputs=32)
SHAPES = [(1, 64, 64), (17, 80, 96), (5, 130, 224)]  # tokens, out, in: ragged against every tile


def product(matrix: Matrix, x: Tensor, out: Tensor, **options: Any) -> None:
    """`tiled_linear` of inputs in their natural order."""
    tiled_linear(matrix, interleaved(x, interleave_of(matrix.weight)).contiguous(), out, **options)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(("rows", "out", "inputs"), SHAPES)
def test_a_product_with_bias_is_that_of_the_dequantized_weights(
    device: torch.device, scheme: str, rows: int, out: int, inputs: int
) -> None:
    matrix = random_matrix(scheme, out, inputs, device, bias=True)
    x, y = normal(rows, inputs, device=device), poisoned(rows, out, device=device)
    product(matrix, x, y, tile=TILE)
    assert distance(y, linear_reference(matrix, x)) < 1e-3


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("rows", [3, 40, 49])
@pytest.mark.parametrize("epilogue", [Epilogue.STORE, Epilogue.GATE])
def test_a_tile_may_hold_tokens_in_two_parts(
    device: torch.device, scheme: str, rows: int, epilogue: Epilogue
) -> None:
    matrix = random_matrix(scheme, 80, 96, device, bias=True)
    gated = epilogue is Epilogue.GATE
    x, y = normal(rows, 96, device=device), poisoned(rows, 40 if gated else 80, device=device)
    product(matrix, x, y, tile=Tile(rows=64, tokens=32, more=16, inputs=32), epilogue=epilogue)
    assert distance(y, (gate_reference if gated else linear_reference)(matrix, x)) < 1e-3


@pytest.mark.parametrize("scheme", SCHEMES)
def test_partial_sums_over_slices_of_the_inputs_add_up(device: torch.device, scheme: str) -> None:
    matrix = random_matrix(scheme, 70, 224, device)
    x, y = normal(19, 224, device=device), poisoned(3, 19, 70, device=device, dtype=torch.float32)
    product(matrix, x, y, tile=TILE)
    assert distance(y.sum(0), linear_reference(matrix, x)) < 3e-4


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", [64, 50])
def test_gates_meet_their_own_ups(device: torch.device, scheme: str, width: int) -> None:
    matrix = random_matrix(scheme, 2 * width, 64, device, bias=True)
    x, y = normal(18, 64, device=device), poisoned(18, width, device=device)
    product(matrix, x, y, tile=TILE, epilogue=Epilogue.GATE)
    assert distance(y, gate_reference(matrix, x)) < 1e-3


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("order", [16, 32, 64])
def test_gated_units_are_written_in_the_order_of_who_reads_them(
    device: torch.device, scheme: str, order: int
) -> None:
    matrix = random_matrix(scheme, 2 * 192, 64, device)
    x, y, z = normal(18, 64, device=device), *(poisoned(18, 192, device=device) for _ in range(2))
    product(matrix, x, y, tile=TILE, epilogue=Epilogue.GATE, order=order)
    ordered = interleaved(x, interleave_of(matrix.weight))
    tiled_linear_reference(matrix, ordered, z, tile=TILE, epilogue=Epilogue.GATE, order=order)
    assert distance(y, interleaved(gate_reference(matrix, x), order)) < 1e-3
    assert distance(z, interleaved(gate_reference(matrix, x), order)) < 1e-3


@pytest.mark.parametrize("scheme", SCHEMES)
def test_each_weight_tile_names_its_best_row(device: torch.device, scheme: str) -> None:
    matrix = random_matrix(scheme, 150, 64, device)
    x, tiles = normal(17, 64, device=device), tiles_of(matrix, TILE)
    best = poisoned(tiles, 17, device=device, dtype=torch.float32)
    ids = torch.full((tiles, 17), -7, dtype=torch.int32, device=device)
    product(matrix, x, best, tile=TILE, epilogue=Epilogue.BEST, ids=ids)
    wanted = linear_reference(matrix, x)
    assert torch.equal(ids.gather(0, best.argmax(0, keepdim=True))[0].long(), wanted.argmax(1))
    assert distance(best[0], wanted[:, :64].amax(1)) < 3e-4


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_not_finite_is_the_best_of_its_tile_and_is_told_as_infinite(
    device: torch.device, bad: float
) -> None:
    matrix = random_matrix("float", 150, 64, device)
    x, tiles = normal(17, 64, device=device), tiles_of(matrix, TILE)
    x[3] = bad
    matrix.weight.values[70] = bad
    found, wanted = (poisoned(tiles, 17, device=device, dtype=torch.float32) for _ in range(2))
    ids, wanted_ids = (torch.full((tiles, 17), -7, dtype=torch.int32, device=device) for _ in range(2))
    tiled_linear(matrix, x, found, tile=TILE, epilogue=Epilogue.BEST, ids=ids)
    tiled_linear_reference(matrix, x, wanted, tile=TILE, epilogue=Epilogue.BEST, ids=wanted_ids)
    assert torch.equal(found.isinf(), wanted.isinf())
    assert found[:, 3].isinf().all() and found[0].isfinite().sum() == 16
    assert ((ids >= 0) & (ids < 150)).all()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_row_does_not_depend_on_its_neighbours_or_on_the_tile(device: torch.device, scheme: str) -> None:
    matrix = random_matrix(scheme, 128, 96, device)
    x = normal(33, 96, device=device)
    alone, together = poisoned(1, 128, device=device), poisoned(33, 128, device=device)
    product(matrix, x[20:21], alone, tile=TILE)
    product(matrix, x, together, tile=Tile(rows=128, tokens=32, inputs=32))
    assert torch.equal(alone[0], together[20])


@pytest.mark.parametrize("group", [32, 64, 128, 256])
def test_groups_of_any_length_in_use_are_walked_in_their_own_order(device: torch.device, group: int) -> None:
    matrix = random_matrix("int4", 64, 512, device, group=group)
    x, y = normal(3, 512, device=device), poisoned(3, 64, device=device)
    product(matrix, x, y, tile=TILE)
    assert distance(y, linear_reference(matrix, x)) < 1e-3


@pytest.mark.parametrize("scheme", ["int8-groups", "int4", "double"])
@pytest.mark.parametrize("group", [32, 64])
def test_a_round_may_hold_several_groups(device: torch.device, scheme: str, group: int) -> None:
    matrix = random_matrix(scheme, 80, 384, device, group=group)
    x, y = normal(19, 384, device=device), poisoned(19, 80, device=device)
    product(matrix, x, y, tile=Tile(rows=64, tokens=16, more=16, inputs=128))
    assert distance(y, linear_reference(matrix, x)) < 1e-3


@pytest.mark.parametrize("inputs", [72, 80, 96, 128])
def test_eight_bit_rows_of_any_length_are_taken(device: torch.device, inputs: int) -> None:
    matrix = random_matrix("int8", 64, inputs, device)
    x, y = normal(3, inputs, device=device), poisoned(3, 64, device=device)
    product(matrix, x, y, tile=TILE)
    assert distance(y, linear_reference(matrix, x)) < 1e-3


def test_slices_do_not_depend_on_the_tile(device: torch.device) -> None:
    matrix = random_matrix("float", 64, 37 * 64, device)
    x = normal(3, 37 * 64, device=device)
    narrow, wide = (poisoned(3, 3, 64, device=device, dtype=torch.float32) for _ in range(2))
    product(matrix, x, narrow, tile=TILE)
    product(matrix, x, wide, tile=Tile(rows=64, tokens=16, inputs=128))
    assert all(distance(a, b) < 1e-6 for a, b in zip(narrow, wide, strict=True))


def test_a_group_of_a_whole_row_is_walked_in_powers_of_two(device: torch.device) -> None:
    matrix = random_matrix("int4", 64, 224, device, group=224)
    x, y = normal(3, 224, device=device), poisoned(3, 64, device=device)
    product(matrix, x, y, tile=TILE)
    assert distance(y, linear_reference(matrix, x)) < 1e-3


@pytest.mark.gpu
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("rows", [1, 8, 32, 64, 128, 164, 256])
@pytest.mark.parametrize("inputs", [896, 4864])
def test_every_batch_size_in_use_agrees_on_real_shapes(
    device: torch.device, scheme: str, rows: int, inputs: int
) -> None:
    matrix = random_matrix(scheme, 1152, inputs, device, group=128, bias=True)
    x, y = normal(rows, inputs, device=device), poisoned(rows, 1152, device=device)
    for tile in (Tile(rows=64, tokens=16, inputs=128), Tile(rows=128, tokens=64, inputs=64)):
        product(matrix, x, y.fill_(float("nan")), tile=tile)
        assert distance(y, linear_reference(matrix, x)) < 1e-3


@pytest.mark.gpu
@pytest.mark.parametrize("scheme", ["int8", "int4"])
@pytest.mark.parametrize("stages", [3, 4])
def test_a_crowded_device_changes_no_sum(device: torch.device, scheme: str, stages: int) -> None:
    """Weights in registers must not be overwritten while tensor cores, late for other blocks, read them."""
    matrix = random_matrix(scheme, 2 * 8192, 3584, device, group=128)
    x, y = normal(8, 3584, device=device), poisoned(8, 8192, device=device)
    wanted = gate_reference(matrix, x)
    for _ in range(20):
        tile = Tile(rows=64, tokens=16, inputs=128, stages=stages)
        product(matrix, x, y.fill_(float("nan")), tile=tile, epilogue=Epilogue.GATE)
        assert distance(y, wanted) < 1e-3


@pytest.mark.gpu
def test_activations_may_be_bfloat16(device: torch.device) -> None:
    matrix = random_matrix("int4", 64, 64, device)  # the interpreter has no product of bfloat16
    x = normal(3, 64, device=device, dtype=torch.bfloat16)
    y = poisoned(3, 64, device=device, dtype=torch.bfloat16)
    product(matrix, x, y, tile=TILE)
    assert distance(y, linear_reference(matrix, x)) < 8e-3
