"""Packed weights for architectures that our engine does not know: the layers of a transformers model.

The model is loaded as transformers loads it, then each linear layer and embedding holds a Weight of ours, one
after the other, and so do experts in one tensor. What is in none (convolutions, routers) stays a float, which
is told.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from quantbench.methods.calibrating import Strengths
from quantbench.methods.layers import Layers
from quantbench.methods.method import Loaded, LoadSettings
from quantbench.sources import ModelSource

if TYPE_CHECKING:
    from torch import Tensor, nn

    from quantbench.decoding.packed_modules import Product
    from quantbench.weights.formats import Weight


class Quantizer(Protocol):
    """Makes weights and counts its exceptions."""

    def __call__(self, name: str, tensor: "Tensor", /) -> "Weight": ...

    def warnings(self) -> tuple[str, ...]:
        """Sentences on what it could not quantize."""
        ...


def load_packed(
    source: ModelSource,
    settings: LoadSettings,
    quantizer: "Callable[[Strengths], Quantizer]",
    calibrate: "Callable[[Layers], Strengths] | None" = None,
) -> Loaded:
    """A transformers decoder whose layers hold what `quantizer` makes of them, calibrated first if asked."""
    from quantbench.decoding.transformers_loading import Change
    from quantbench.methods.transformers_engine import load_transformers

    packing = Packing(quantizer, calibrate, settings.device)
    loaded = load_transformers(source, settings, Change(convert=packing))
    seconds = {"quantize_s": packing.seconds + packing.strengths.seconds}
    return replace(
        loaded,
        startup=loaded.startup.model_copy(update=seconds),
        warnings=(*packing.warnings, *loaded.warnings),
        calibration=packing.strengths.calibration,
    )


class Packing:
    """Packs a model's layers, calibrated first where that is asked; keeps what is to be told of it."""

    def __init__(
        self,
        quantizer: "Callable[[Strengths], Quantizer]",
        calibrate: "Callable[[Layers], Strengths] | None",
        device: str,
    ) -> None:
        self.seconds = 0.0
        self.strengths = Strengths()
        self.warnings: tuple[str, ...] = ()
        self._quantizer, self._calibrate, self._device = quantizer, calibrate, device

    def __call__(self, model: Any) -> None:
        """Change the model's layers in place."""
        from quantbench.decoding.packed_modules import pack
        from quantbench.decoding.packed_stacks import pack_stacks, stacked_fields
        from quantbench.engine.cpu.operations import strip_of

        layers = Layers(model)
        if self._calibrate is not None:
            self.strengths = self._calibrate(layers)
        quantize = self._quantizer(self.strengths)
        strip = strip_of(self._device)
        start = time.perf_counter()
        for layer in layers.layers:
            weight = quantize(layer.name, layer.matrix()).cpu_layout(strip)
            for module in layer.modules:
                pack(module, weight, product_of(weight, bias_of(module), self._device), model.dtype)
        stacked = [(name, module) for name, module in model.named_modules() if stacked_fields(module)]
        for name, module in stacked:
            fields = stacked_fields(module)
            made = {field: quantize(f"{name}.{field}", rows_of(module, field)) for field in fields}
            pack_stacks(module, made, model.dtype)
        if stacked and hasattr(model, "set_experts_implementation"):
            model.set_experts_implementation("eager")  # asks for one expert at a time, others for all
        self.seconds = time.perf_counter() - start
        told = (self.strengths.warning,) if self.strengths.warning else ()
        self.warnings = (*told, *quantize.warnings(), *floats_left(model))


def rows_of(module: "nn.Module", field: str) -> "Tensor":
    """Matrices in a tensor [number, rows, inputs], or transposed ones, as one [number x rows, inputs]."""
    from quantbench.decoding.packed_stacks import is_transposed

    parameter: Any = module._parameters[field]
    values: Tensor = parameter.data
    if is_transposed(module):
        values = values.transpose(1, 2)
    return values.reshape(-1, values.shape[-1])


def bias_of(module: "nn.Module") -> "Tensor | None":
    """A layer's bias; None where it has none."""
    bias = module._parameters.get("bias")
    return None if bias is None else bias.data


def product_of(weight: "Weight", bias: "Tensor | None", device: str) -> "Product":
    """What multiplies a weight here; activations keep their bits, save those of 8-bit floats."""
    from quantbench.engine.cpu.build import load_kernels
    from quantbench.engine.cpu.linear import CpuLinear, declare
    from quantbench.engine.parameters import Matrix
    from quantbench.engine.plain.linear import plain_linear

    matrix = Matrix(weight=weight, bias=bias, parts=(("weight", weight.shape[0]),))
    library = load_kernels().kernels if device == "cpu" else None
    if library is None or weight.cpu_operand() is None:
        return plain_linear(matrix)
    declare(library)
    return CpuLinear(library, matrix, exact=True)


def floats_left(model: Any) -> tuple[str, ...]:
    """A sentence for the matrices that no layer multiplies alone."""
    from quantbench.decoding.account import is_matrix

    left = [name for name, parameter in model.named_parameters() if is_matrix(parameter)]
    if not left:
        return ()
    kind = str(model.dtype).removeprefix("torch.")
    named = f"{', '.join(left[:3])}{', ...' if len(left) > 3 else ''}"
    return (
        f"{len(left)} tensors stay {kind}, since no linear layer or embedding holds them "
        f"(convolutions, routers): {named}",
    )
