"""How other libraries lay out quantized matrices in safetensors, one function a layout.

A new one costs a function and a line in LAYOUTS.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from quantbench.weights.formats import Weight
from quantbench.weights.readers.packed.integer_layouts import auto_round, awq, gptq, hqq
from quantbench.weights.readers.packed.module import Module
from quantbench.weights.readers.packed.other_layouts import bitsandbytes, compressed_tensors, fp8, torchao

__all__ = ["LAYOUTS", "Layout", "Module"]


@dataclass(frozen=True, slots=True)
class Layout:
    """One `quant_method` of config.json."""

    read: Callable[[Module, dict[str, Any]], Weight]
    marks: tuple[str, ...]  # a module that has one of these tensors is packed


LAYOUTS = {
    "gptq": Layout(gptq, ("qweight",)),
    "awq": Layout(awq, ("qweight",)),
    "auto-round": Layout(auto_round, ("qweight",)),
    "compressed-tensors": Layout(compressed_tensors, ("weight_packed", "weight_scale")),
    "fp8": Layout(fp8, ("weight_scale_inv",)),
    "bitsandbytes": Layout(bitsandbytes, ("SCB", "weight.absmax")),
    "torchao": Layout(torchao, ("_weight_qdata",)),
    "hqq": Layout(hqq, ("W_q",)),
}
