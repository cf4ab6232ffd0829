"""The audit names what multiplied a matrix: the step, or the products of few rows within it."""

import pytest
import torch

from quantbench.engine.cuda.told import multiplied_by
from quantbench.engine.parameters import Matrix
from quantbench.kernels import Kernel
from quantbench.weights.formats import FloatWeight, MixedWeight, Weight
from tests.weights.test_ggml_blocks import blocks

ONE = Kernel(operation="decode step", name="one kernel", max_batch=4)
INSTEAD = Kernel(operation="decode step", name="layers", max_batch=4, reason="mixed formats")
MANY = Kernel(operation="decode step", name="layers")
FEW = Kernel(operation="linear of few rows", name="CUDA C++", max_batch=16)
FLOATS = FloatWeight(torch.ones(64, 256).half())


def packed(kind: str) -> Weight:
    return blocks(kind, 64, 256).gpu_layout()


def told(weight: Weight, *steps: Kernel) -> str:
    return multiplied_by(Matrix(weight=weight, bias=None, parts=(("a", 64),)), steps, [FEW])


@pytest.mark.parametrize("weight", [packed("Q5_0"), MixedWeight((packed("Q5_0"), packed("Q6_K")))])
def test_few_rows_of_blocks_are_multiplied_by_their_own_kernel(weight: Weight) -> None:
    assert told(weight, INSTEAD) == "CUDA C++, up to 16 rows; layers"


@pytest.mark.parametrize("weight", [FLOATS, MixedWeight((packed("Q5_0"), FLOATS))])
def test_what_that_kernel_does_not_take_is_multiplied_by_the_step(weight: Weight) -> None:
    assert told(weight, INSTEAD, MANY) == "layers"


def test_a_step_that_is_one_kernel_has_no_others_within() -> None:
    assert told(packed("Q4_0"), ONE) == "one kernel"
    assert told(packed("Q4_0"), ONE, MANY) == "one kernel; CUDA C++, up to 16 rows; layers"


def test_before_any_step_nothing_is_named() -> None:
    assert told(FLOATS) == ""
