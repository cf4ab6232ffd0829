"""Weights that a pass of calibration made are handed to the engine and not kept beside it."""

import pytest
import torch

from quantbench.methods import METHODS
from quantbench.methods.calibrating import Strengths
from quantbench.methods.quantized import Noted, QuantizedMethod
from quantbench.weights.quantizers.int8 import quantize_int8


@pytest.mark.parametrize("once", [True, False])
def test_a_weight_made_in_the_pass_is_kept_only_for_who_may_ask_again(once: bool) -> None:
    method = METHODS["int4-gptq"]
    assert isinstance(method, QuantizedMethod)
    values = torch.ones(4, 64)
    made = quantize_int8("a", values)
    strengths = Strengths(weights={"a": made})
    noted = Noted(method, strengths, device="cpu", dtype="float32", once=once)
    assert noted("a", values) is made
    assert ("a" in strengths.weights) is not once
