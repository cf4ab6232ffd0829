"""GGUF blocks times few tokens are the dequantized blocks times them, emulated and on a GPU."""

from typing import Any

import pytest
import torch
from torch import Tensor

from quantbench.engine.cuda.few_rows.launch import FewRowProducts, Run, launch_product, runner_on
from quantbench.engine.cuda.few_rows.variant import BLOCKS, Outcome, Variant, takes, variant_for
from quantbench.engine.cuda.operations import PLAIN
from quantbench.engine.cuda.products import TiledProducts
from quantbench.weights.formats import FloatWeight, Weight, stack
from tests.engine.cuda.matrices import HALF, distance, poisoned
from tests.engine.cuda.step_models import CPU
from tests.engine.cuda.test_block_linear import exact, held, matrix_of, normal
from tests.engine.cuda.test_few_rows import emulated, needs_hopper
from tests.weights.test_ggml_blocks import blocks

__all__ = ["emulated"]  # a fixture
# type -> what differs from the plainest form; tokens, outputs, inputs
CASES: dict[str, tuple[dict[str, Any], tuple[int, int, int]]] = {
    "Q5_0": ({"tiles": 3, "columns": 2, "warps": 3}, (11, 70, 384)),
    "Q6_K": ({"stages": 3}, (3, 37, 768)),
    "Q4_K": ({"tiles": 2}, (8, 40, 512)),
    "Q8_0": ({}, (1, 20, 640)),
    "Q5_K": ({"tiles": 2}, (2, 33, 256)),
    "Q4_0": ({"warps": 4}, (4, 16, 1408)),
    "Q4_1": ({}, (2, 33, 256)),
    "Q5_1": ({}, (2, 33, 128)),
}
QUICK = ("Q6_K", "Q4_K")
NAMES = [name if name in QUICK else pytest.param(name, marks=pytest.mark.long) for name in CASES]


def form(name: str, outcome: Outcome = Outcome.STORE, **changes: Any) -> Variant:
    return Variant(
        block=name, outcome=outcome, **{"tiles": 1, "columns": 1, "warps": 2, "stages": 2} | changes
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_product_with_bias_is_that_of_the_dequantized_blocks(emulated: Run, name: str) -> None:
    changes, (tokens, out, inputs) = CASES[name]
    weight = held(name, out, inputs)
    matrix, x = matrix_of(weight, CPU, bias=True), normal(tokens, inputs, device=CPU)
    y = poisoned(tokens, out, device=CPU)
    launch_product(emulated, form(name, **changes), matrix, x, y)
    assert distance(y, exact(weight, x, matrix.bias)) < 1e-3


@pytest.mark.long
def test_partial_sums_over_slices_of_the_inputs_add_up(emulated: Run) -> None:
    weight = held("Q6_K", 20, 1280)
    x, y = normal(7, 1280, device=CPU), poisoned(3, 7, 20, device=CPU, dtype=torch.float32)
    launch_product(emulated, form("Q6_K", Outcome.SUMS), matrix_of(weight, CPU), x, y)
    assert distance(y.sum(0), exact(weight, x)) < 1e-3


def mixture() -> Weight:
    floats = FloatWeight((torch.randn(21, 256) * 40).to(HALF))
    return stack([blocks("Q4_K", 56, 256), blocks("Q6_K", 19, 256, 1), floats])


def emulated_form(run: Run) -> Run:
    """Every product by a form that is compiled anyway."""
    return lambda variant, product, _: run(
        form(variant.block, **CASES[variant.block][0]),
        product,
        -(-product.outputs // (16 * CASES[variant.block][0].get("tiles", 1))),
    )


def test_each_part_of_a_mixture_goes_its_own_way(emulated: Run) -> None:
    weight = mixture()
    matrix, x = matrix_of(weight, CPU, bias=True), normal(3, 256, device=CPU)
    y = poisoned(3, 96, device=CPU)
    ours = FewRowProducts(TiledProducts(PLAIN, 3, "silu"), 3, emulated_form(emulated))
    ours(matrix, x, y)
    assert distance(y, exact(weight, x, matrix.bias)) < 1e-3


def test_rows_that_end_within_a_piece_are_left_to_the_tiled_products() -> None:
    assert not takes(blocks("Q8_0", 8, 96).gpu_layout(), 1)
    assert not takes(blocks("IQ4_NL", 8, 128).gpu_layout(), 1)
    assert all(takes(held(name, 8, 128).gpu_layout(), 1) for name in BLOCKS)


GPU_SHAPES = [(1152, 896), (896, 4864), (9728, 896), (2560, 2048)]


def gated(product: Tensor) -> Tensor:
    gate, up = product.chunk(2, dim=-1)
    return torch.nn.functional.silu(gate) * up


@pytest.mark.gpu
@needs_hopper
@pytest.mark.parametrize("name", BLOCKS)
@pytest.mark.parametrize(("out", "inputs"), GPU_SHAPES)
def test_every_number_of_tokens_agrees_on_real_shapes(
    cuda: torch.device, name: str, out: int, inputs: int
) -> None:
    weight = held(name, out, inputs)
    matrix, run = matrix_of(weight, cuda), runner_on(cuda)
    values = weight.dequantize().to(cuda).double()
    for tokens in (1, 4, 9, 16):
        x = normal(tokens, weight.shape[1], device=cuda, seed=tokens) / 32  # gates times ups are float16
        wanted = x.double() @ values.T
        for outcome, expected in ((Outcome.STORE, wanted), (Outcome.GATE, gated(wanted))):
            y = poisoned(*expected.shape, device=cuda)
            launch_product(run, variant_for(matrix.weight, tokens, outcome), matrix, x, y)
            assert distance(y, expected) < 1e-3
        sums = poisoned(2, tokens, out, device=cuda, dtype=torch.float32)
        launch_product(run, variant_for(matrix.weight, tokens, Outcome.SUMS), matrix, x, sums)
        assert distance(sums.sum(0), wanted) < 1e-3


@pytest.mark.gpu
@needs_hopper
@pytest.mark.parametrize("name", ["Q8_0", "Q6_K"])
def test_a_crowded_device_changes_no_bit(cuda: torch.device, name: str) -> None:
    matrix = matrix_of(held(name, 2 * 8192, 4096), cuda)
    x, run = normal(8, 4096, device=cuda) / 256, runner_on(cuda)  # gates times ups are float16
    variant = variant_for(matrix.weight, 8, Outcome.GATE)
    found = [poisoned(8, 8192, device=cuda) for _ in range(20)]
    for y in found:
        launch_product(run, variant, matrix, x, y)
    assert found[0].isfinite().all()
    assert all(torch.equal(y, found[0]) for y in found)
