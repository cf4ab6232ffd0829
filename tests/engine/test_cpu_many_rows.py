"""Products of many rows go by stretches of rows and inputs: longer ones than a stretch, against float64."""

import math

import pytest
import torch

from quantbench.engine.cpu import build
from tests.engine.test_cpu_kernels import config, linear, operations, weight
from tests.weights.test_ggml_blocks import activations, blocks, product_of, rounding

pytestmark = pytest.mark.skipif(
    build.load_kernels().kernels is None, reason=f"no CPU kernels: {build.load_kernels().reason}"
)
SINGLE = torch.finfo(torch.float32).eps
ROWS, OUTPUTS = 197, 21  # beyond one stretch of rows, and of outputs, with a rest that no tile fits


@pytest.mark.parametrize(
    "kind", ["float32", "float16", "int8", "int8-32", "int4-32", "int4-192", "double-64"]
)
def test_a_product_beyond_a_stretch_is_right_and_that_of_its_row_alone(kind: str) -> None:
    operations(config())
    held, inputs = weight(kind, OUTPUTS, 576), 576
    generator = torch.Generator().manual_seed(3)
    bias, x = torch.randn(OUTPUTS, generator=generator), torch.randn(ROWS, inputs, generator=generator)
    residual = torch.randn(ROWS, OUTPUTS, generator=generator)
    product, values = linear(held, bias), held.dequantize().double()
    found = product(x, residual)
    exact = x.double() @ values.T + bias.double() + residual.double()
    size = x.double().abs() @ values.abs().T + bias.abs() + residual.abs()
    assert ((found - exact).abs() <= 2 * math.sqrt(inputs) * SINGLE * size).all()
    for row in (0, 191, 192, 196):
        assert torch.equal(product(x[row : row + 1], residual[row : row + 1]), found[row : row + 1])


@pytest.mark.parametrize("name", ["Q4_0", "Q5_1", "Q4_K", "Q6_K"])
@pytest.mark.parametrize("exact", [True, False])
def test_blocks_beyond_a_stretch_are_right_and_those_of_their_row_alone(name: str, exact: bool) -> None:
    held = blocks(name, OUTPUTS, 768)
    product, values, x = product_of(held, exact=exact), held.dequantize().double(), activations(ROWS, 768)
    found = product(x)
    allowed = 2 * math.sqrt(768) * SINGLE * (x.abs().double() @ values.abs().T)
    allowed += rounding(x, values) if product.bits else 0
    assert bool(((found.double() - x.double() @ values.T).abs() <= allowed).all())
    for row in (0, 191, 192, 196):
        assert torch.equal(product(x[row : row + 1]), found[row : row + 1])


@pytest.mark.parametrize("kind", ["int4-64", "double-64"])
def test_what_is_not_finite_stays_so_and_in_its_row(kind: str) -> None:
    operations(config())
    product, x = linear(weight(kind, 70, 256)), torch.randn(7, 256)
    x[0, 100], x[1, 7] = math.nan, math.inf
    for rows in (2, 3, 7):
        found = product(x[:rows])
        assert not found[:2].isfinite().any()
        assert found[2:].isfinite().all()


@pytest.mark.parametrize("kind", ["int4-32", "int4-96", "double-32", "double-64"])
def test_each_input_meets_its_own_code_to_the_last_bit(kind: str) -> None:
    operations(config())
    held = weight(kind, 100, 192)
    product, eye, values = linear(held), torch.eye(192), held.dequantize().T
    for rows in (slice(0, 192), slice(0, 1), slice(31, 33), slice(64, 67), slice(100, 104), slice(191, 192)):
        assert torch.equal(product(eye[rows]), values[rows])
