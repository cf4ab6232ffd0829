"""Products with few tokens agree with dequantize-then-multiply, on the emulated machine and on a GPU."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from quantbench.engine.cuda.few_rows.launch import (
    FewRowProducts,
    Run,
    few_row_products,
    launch_product,
    runner_on,
    takes_layers,
)
from quantbench.engine.cuda.few_rows.variant import MAX_TOKENS, Outcome, Variant, takes, variant_for
from quantbench.engine.cuda.operations import PLAIN
from quantbench.engine.cuda.persistent import shape
from quantbench.engine.cuda.products import TiledProducts
from quantbench.engine.cuda.triton.interleave import interleaved
from quantbench.engine.cuda.triton.linear import gate_reference, linear_reference
from quantbench.engine.cuda.triton.rotate import rotation_tables
from quantbench.engine.cuda.triton_step import TritonStep
from quantbench.engine.parameters import Matrix
from tests.engine.cuda.emulation import COMPILER, emulated_products
from tests.engine.cuda.matrices import distance, normal, poisoned, random_matrix
from tests.engine.cuda.step_models import CPU, moved, random_model, random_state

SMALL = Variant(group=64, double=True, outcome=Outcome.STORE, tiles=1, columns=1, warps=2, stages=2)
GATED = replace(SMALL, outcome=Outcome.GATE, group=32, tiles=2)
SUMMED = replace(SMALL, outcome=Outcome.SUMS, group=128, stages=3)
BEST = replace(SMALL, outcome=Outcome.BEST, double=False, group=32, columns=2, warps=3)
# what differs from SMALL; tokens, outputs, inputs
CASES: dict[str, tuple[dict[str, Any], tuple[int, int, int]]] = {
    "one tile, ragged rows and tokens": ({}, (3, 37, 192)),
    "many pieces and tiles": ({"group": 128, "stages": 3, "tiles": 3}, (8, 70, 1408)),
    "sixteen tokens, three warps": ({"columns": 2, "warps": 3}, (11, 48, 640)),
    "scales of 16 bits": ({"double": False, "group": 128}, (2, 20, 256)),
}
LONG = [pytest.param(name, marks=pytest.mark.long) for name in list(CASES)[1:]]


@pytest.fixture(scope="module")
def emulated(tmp_path_factory: pytest.TempPathFactory) -> Run:
    if COMPILER is None:
        pytest.skip("the emulator needs g++")
    return emulated_products(tmp_path_factory.mktemp("kernels"))


def packed(variant: Variant, out: int, inputs: int, device: torch.device = CPU, bias: bool = True) -> Matrix:
    """Of the form that a variant takes; groups of double quantization come in pairs."""
    scheme, group = ("double", variant.group) if variant.double else ("int4", variant.group)
    return random_matrix(scheme, out, inputs, device, group=group, bias=bias)


def product(run: Run, variant: Variant, matrix: Matrix, x: Tensor, **options: Any) -> Tensor:
    """What is stored in a poisoned output."""
    out = matrix.weight.shape[0] // (2 if variant.outcome is Outcome.GATE else 1)
    y = poisoned(len(x), out, device=x.device)
    launch_product(run, variant, matrix, x, y, **options)
    return y


@pytest.mark.parametrize("name", [next(iter(CASES)), *LONG])
def test_a_product_with_bias_is_that_of_the_dequantized_weights(emulated: Run, name: str) -> None:
    changes, (tokens, out, inputs) = CASES[name]
    variant = replace(SMALL, **changes)
    matrix, x = packed(variant, out, inputs), normal(tokens, inputs, device=CPU)
    assert distance(product(emulated, variant, matrix, x), linear_reference(matrix, x)) < 1e-3


@pytest.mark.parametrize("order", [1, 16, 64])
def test_gates_meet_their_ups_and_lie_in_the_order_of_who_reads_them(emulated: Run, order: int) -> None:
    matrix, x = packed(GATED, 2 * 64, 224), normal(7, 224, device=CPU)
    y = product(emulated, GATED, matrix, x, order=order)
    assert distance(y, interleaved(gate_reference(matrix, x), order)) < 1e-3


def test_partial_sums_over_slices_of_the_inputs_add_up(emulated: Run) -> None:
    matrix, x = packed(SUMMED, 20, 1408, bias=False), normal(7, 1408, device=CPU)
    y = poisoned(3, 7, 20, device=CPU, dtype=torch.float32)
    launch_product(emulated, SUMMED, matrix, x, y)
    assert distance(y.sum(0), linear_reference(matrix, x)) < 3e-4


@pytest.mark.parametrize("bad", [None, float("nan"), float("inf")])
def test_each_block_names_its_best_row_and_what_is_not_finite_is_infinite(
    emulated: Run, bad: float | None
) -> None:
    matrix, x = packed(BEST, 70, 192), normal(11, 192, device=CPU)
    if bad is not None:
        x[3, 5] = bad
    best, ids = poisoned(5, 11, device=CPU, dtype=torch.float32), torch.full((5, 11), -7, dtype=torch.int32)
    launch_product(emulated, BEST, matrix, x, best, ids=ids)
    wanted = linear_reference(matrix, x)
    fine = [row for row in range(11) if bad is None or row != 3]
    assert torch.equal(ids.gather(0, best.argmax(0, keepdim=True))[0, fine].long(), wanted[fine].argmax(1))
    assert distance(best[0, fine], wanted[fine, :16].amax(1)) < 3e-4
    assert bad is None or bool(best[:, 3].isinf().all())
    assert ((ids >= 0) & (ids < 70)).all()


@pytest.mark.long
@pytest.mark.long
def test_a_step_with_these_products_chooses_what_the_plain_one_chooses(emulated: Run) -> None:
    model = random_model("qwen2", "double", group=32)
    state = random_state(model, [5, -1, 30], 40)
    expected = moved(state, CPU)
    tables = rotation_tables(model.config, 40, CPU)
    tiled = TiledProducts(PLAIN, 3, "silu")
    for rows, products in ((state, FewRowProducts(tiled, 3, emulated)), (expected, tiled)):
        TritonStep(model, rows, tables, PLAIN, products)()
    assert state.tokens.tolist() == expected.tokens.tolist()
    assert state.positions.tolist() == expected.positions.tolist() == [6, -1, 31]
    assert distance(state.keys.nan_to_num(), expected.keys.nan_to_num()) < 2e-3


def test_other_weights_are_left_to_the_tiled_products() -> None:
    matrix = random_matrix("int8", 32, 64, CPU)
    assert not takes(matrix.weight, 3)
    assert takes(random_matrix("double", 32, 64, CPU).weight, 3)
    x, y = normal(3, 64, device=CPU), poisoned(3, 32, device=CPU)
    ours = FewRowProducts(
        TiledProducts(PLAIN, 3, "silu"), 3, lambda *_: pytest.fail("the kernel does not take it")
    )
    ours(matrix, interleaved(x, ours.order_of(matrix)), y)
    assert distance(y, linear_reference(matrix, x)) < 1e-3


def test_without_a_gpu_or_with_many_tokens_the_tiled_products_stay() -> None:
    model = random_model("qwen2", "double", group=32)
    tiled = TiledProducts(PLAIN, 3, "silu")
    assert few_row_products(model, tiled, 3) is tiled
    assert few_row_products(model, tiled, MAX_TOKENS + 1) is tiled


@pytest.mark.parametrize(("scheme", "rows"), [("double", [0, 1]), ("float", [4, 4])])
def test_one_row_of_large_four_bit_layers_is_left_to_these_products_where_they_run(
    scheme: str, rows: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shape, "LARGE_LAYER", 0)
    model = random_model("qwen2", scheme, group=32)
    assert [shape.rows_for(model, few_rows=runs) for runs in (True, False)] == rows
    assert not takes_layers(model, 1)  # without a GPU


needs_hopper = pytest.mark.skipif(
    not torch.cuda.is_available() or torch.cuda.get_device_capability()[0] != 9,
    reason="needs a GPU of compute capability 9.0",
)
GPU_SHAPES = [(1152, 896), (4864, 896), (896, 4864), (6144, 4096), (4096, 14336), (576, 576)]


@pytest.mark.gpu
@needs_hopper
@pytest.mark.parametrize("group", [32, 64, 128])
@pytest.mark.parametrize("double", [True, False])
@pytest.mark.parametrize(("out", "inputs"), GPU_SHAPES)
def test_every_number_of_tokens_agrees_on_real_shapes(
    cuda: torch.device, group: int, double: bool, out: int, inputs: int
) -> None:
    if inputs % group:
        pytest.skip("groups do not divide the inputs")
    scheme = replace(SMALL, group=group, double=double)
    matrix = packed(scheme, out, inputs, cuda)
    run = runner_on(cuda)
    for tokens in (1, 2, 4, 8, 9, 16):
        x = normal(tokens, inputs, device=cuda, seed=tokens)
        for outcome, wanted in (
            (Outcome.STORE, linear_reference(matrix, x)),
            (Outcome.GATE, gate_reference(matrix, x)),
        ):
            y = product(run, variant_for(matrix.weight, tokens, outcome), matrix, x)
            assert distance(y, wanted) < 1e-3


@pytest.mark.gpu
@needs_hopper
def test_a_crowded_device_changes_no_bit(cuda: torch.device) -> None:
    matrix = packed(replace(SMALL, group=128), 2 * 14336, 4096, cuda)
    x, run = normal(8, 4096, device=cuda), runner_on(cuda)
    variant = variant_for(matrix.weight, 8, Outcome.GATE)
    first = product(run, variant, matrix, x)
    assert distance(first, gate_reference(matrix, x)) < 1e-3
    for _ in range(20):
        assert torch.equal(product(run, variant, matrix, x), first)
