"""What a module of any library holds: its matrix, the tensors inside its parameters, its scheme."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from quantbench.errors import ModelError

FLOAT_SCHEMES = {torch.float32: "W32", torch.bfloat16: "WBF16", torch.float16: "W16"}
SchemeOf = Callable[[str, nn.Module], tuple[str, int]]


def quantizer_state(weight: Any) -> Iterator[tuple[str, Tensor]]:
    """Scales and tables that bitsandbytes keeps beside a 4-bit parameter, doubly quantized ones too."""
    state = getattr(weight, "quant_state", None)
    while state is not None:
        for field in ("absmax", "code", "offset"):
            if isinstance(tensor := getattr(state, field, None), Tensor):
                yield field, tensor
        state = getattr(state, "state2", None)


def prefixes(name: str) -> Iterator[str]:
    """'a.b.c' -> 'a.b.c', 'a.b', 'a'; what follows a colon is left out."""
    parts = name.partition(":")[0].split(".")
    for end in range(len(parts), 0, -1):
        yield ".".join(parts[:end])


def holds_matrix(module: nn.Module) -> bool:
    """A linear layer of any library, or an embedding."""
    return isinstance(module, nn.Embedding) or hasattr(module, "in_features")


def float_scheme(name: str, module: nn.Module) -> tuple[str, int]:
    """The scheme of an unquantized matrix; ModelError for a packed one, whose library must say."""
    weight = module.weight
    assert isinstance(weight, Tensor)
    if weight.dtype not in FLOAT_SCHEMES:
        raise ModelError(f"matrix '{name}' is held as {weight.dtype}; its method must say in which scheme")
    return FLOAT_SCHEMES[weight.dtype], weight.numel()


def plain_tensors(name: str, tensor: Tensor, seen: set[int]) -> Iterator[tuple[str, Tensor]]:
    """The plain tensors inside a parameter of any library, each storage once."""
    if hasattr(tensor, "__tensor_flatten__"):
        for field in tensor.__tensor_flatten__()[0]:
            yield from plain_tensors(f"{name}:{field}", getattr(tensor, field), seen)
        return
    data = tensor.data if isinstance(tensor, nn.Parameter) else tensor
    if data.data_ptr() not in seen:
        seen.add(data.data_ptr())
        yield name, data
    yield from _quantization_state(name, tensor, seen)


def _quantization_state(name: str, tensor: Tensor, seen: set[int]) -> Iterator[tuple[str, Tensor]]:
    """bitsandbytes hangs scales on its parameters: `quant_state` (4 bits, may nest) or `SCB` (8 bits)."""
    if isinstance(scale := getattr(tensor, "SCB", None), Tensor):
        yield from plain_tensors(f"{name}:SCB", scale, seen)
    for field, part in quantizer_state(tensor):
        yield from plain_tensors(f"{name}:{field}", part, seen)
