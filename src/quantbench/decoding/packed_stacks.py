"""Matrices in one tensor [number, rows, inputs], as those of experts, over one packed weight.

The module's own code stays: where it asks for one matrix by its number, that one is dequantized; where it
asks for anything else, it gets the whole tensor, made on use.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from quantbench.decoding.module_tensors import ModuleForm
from quantbench.weights.formats import Weight

LEAST = 16  # rows and inputs: smaller ones are no matrices that are multiplied


@dataclass(frozen=True, slots=True)
class PackedStack:
    """`packed` [number x rows, inputs]; stands where a module had its tensor, [number, inputs, rows] where it
    is `transposed`."""

    packed: Weight
    shape: torch.Size
    dtype: torch.dtype  # of activations
    kernel: str
    transposed: bool = False

    @property
    def device(self) -> torch.device:
        """Where the values are."""
        return next(tensor for _, tensor in self.packed.tensors()).device

    def whole(self) -> Tensor:
        """All values, as the tensor was."""
        values = self.packed.as_dtype(self.dtype)
        if not self.transposed:
            return values.reshape(self.shape)
        number, inputs, rows = self.shape
        return values.reshape(number, rows, inputs).transpose(1, 2)

    def __getitem__(self, index: Any) -> Tensor:
        if not isinstance(index, int) and not (isinstance(index, Tensor) and index.dim() == 0):
            return self.whole()[index]
        rows = self.shape[2 if self.transposed else 1]
        first = int(index) % self.shape[0] * rows
        asked = torch.arange(first, first + rows, device=self.device)
        matrix = self.packed.dequantize(asked).to(self.dtype)
        return matrix.T if self.transposed else matrix

    def __getattr__(self, name: str) -> Any:
        """Whatever else a tensor has."""
        return getattr(self.whole(), name)

    @classmethod
    def __torch_function__(
        cls,
        function: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        plain = [value.whole() if isinstance(value, cls) else value for value in args]
        named = {k: v.whole() if isinstance(v, cls) else v for k, v in (kwargs or {}).items()}
        return function(*plain, **named)

    def form(self) -> ModuleForm:
        """How the matrices are held, and what multiplies them."""
        return ModuleForm(
            scheme=self.packed.scheme,
            parameters=self.shape.numel(),
            format=self.packed.format,
            group_size=self.packed.group_size,
            kernel=self.kernel,
        )


def stacked_fields(module: nn.Module) -> list[str]:
    """Names of a module's own parameters that hold several matrices."""
    if isinstance(module, nn.modules.conv._ConvNd):
        return []
    return [
        field
        for field, parameter in module._parameters.items()
        if parameter is not None and parameter.dim() == 3 and min(parameter.shape[1:]) >= LEAST
    ]


def is_transposed(module: nn.Module) -> bool:
    """Whether a module's matrices are [inputs, rows]; transformers notes it on experts."""
    return bool(getattr(module, "is_transposed", False))


def pack_stacks(module: nn.Module, weights: Mapping[str, Weight], dtype: torch.dtype) -> None:
    """Let a module hold these weights in place of the parameters of their names."""
    kind, stacks = type(module), {}
    for field, weight in weights.items():
        shape = module._parameters.pop(field).shape  # type: ignore[union-attr]
        kernel = f"{kind.__name__}'s own code, {weight.format} dequantized"
        stacks[field] = PackedStack(weight, shape, dtype, kernel, is_transposed(module))
    fields = {field: stack_property(field) for field in stacks}
    module.__class__ = type(f"Packed{kind.__name__}", (kind,), fields)
    module.stacks = stacks  # type: ignore[assignment]


def stack_property(field: str) -> property:
    """What a module's code gets for a field that is packed."""

    def stack(module: Any) -> PackedStack:
        found: PackedStack = module.stacks[field]
        return found

    return property(stack)


def stacks_of(module: nn.Module) -> Mapping[str, PackedStack]:
    """A module's packed stacks by field; none where it has none."""
    found = vars(module).get("stacks")
    whole = isinstance(found, dict) and all(isinstance(stack, PackedStack) for stack in found.values())
    return found if found and whole else {}
