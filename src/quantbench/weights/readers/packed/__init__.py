"""How other libraries lay out quantized matrices in safetensors, one function a layout.

A new one costs a function and a line in LAYOUTS.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from quantbench.weights.formats import Weight
from quantbench.weights.readers.packed.integer_layouts import auto_round, awq, gptq, hqq
from quantbench.weights.readers.packed.module import Module
from quantbench.weights.readers.packed.other_layouts import (
    E2M1,
    bitsandbytes,
    compressed_tensors,
    fp8,
    torchao,
)

__all__ = ["E2M1", "LAYOUTS", "Module", "PackedLayout"]


@dataclass(frozen=True, slots=True)
class PackedLayout:
    """One `quant_method` of config.json."""

    read: Callable[[Module, dict[str, Any]], Weight]
    marks: tuple[str, ...]  # a module that has one of these tensors is packed


LAYOUTS = {
    "gptq": PackedLayout(gptq, ("qweight",)),
    "awq": PackedLayout(awq, ("qweight",)),
    "auto-round": PackedLayout(auto_round, ("qweight",)),
    "compressed-tensors": PackedLayout(compressed_tensors, ("weight_packed", "weight_scale")),
    "fp8": PackedLayout(fp8, ("weight_scale_inv",)),
    "bitsandbytes": PackedLayout(bitsandbytes, ("SCB", "weight.absmax")),
    "torchao": PackedLayout(torchao, ("_weight_qdata",)),
    "hqq": PackedLayout(hqq, ("W_q",)),
}
