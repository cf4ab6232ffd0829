"""What a module of any library holds: its matrix, the tensors inside its parameters, its form."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from quantbench.errors import ModelError

FLOAT_SCHEMES = {torch.float32: "W32", torch.bfloat16: "WBF16", torch.float16: "W16"}
STATE_FIELDS = ("CB", "SCB")  # bitsandbytes keeps int8 matrices and scales in a module's state


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleForm:
    """How a module holds its matrix."""

    scheme: str
    parameters: int
    format: str | None = None  # None is the scheme
    group_size: int | None = None
    kernel: str | None = None  # None is the module's class


FormOf = Callable[[str, nn.Module], ModuleForm]


def matrix_of(module: nn.Module) -> Any:
    """What holds a module's matrix, packed or not; None where it has none."""
    if not holds_matrix(module):
        return None
    packed = getattr(module, "packed", None)  # of ours, see `packed_modules`
    found = packed if packed is not None else getattr(module, "W_q", None)  # of HQQ
    return found if found is not None else getattr(module, "weight", None)


def holds_matrix(module: nn.Module) -> bool:
    """A linear layer of any library, or an embedding."""
    linear = ("in_features", "nf")  # transformers' Conv1D has the latter
    return isinstance(module, nn.Embedding) or any(hasattr(module, name) for name in linear)


def float_form(name: str, module: nn.Module) -> ModuleForm:
    """The form of an unquantized matrix; ModelError for a packed one, whose library must say."""
    weight = module.weight
    assert isinstance(weight, Tensor)
    if weight.dtype not in FLOAT_SCHEMES:
        raise ModelError(f"matrix '{name}' is held as {weight.dtype}; its method must say in which scheme")
    return ModuleForm(scheme=FLOAT_SCHEMES[weight.dtype], parameters=weight.numel())


def module_tensors(name: str, module: nn.Module, seen: set[int]) -> Iterator[tuple[str, Tensor]]:
    """Every plain tensor that a module itself holds, each storage once; its matrix's are 'NAME.weight:...'.

    Buffers that are not saved with a model hold no parameters. No `state_dict` is made to learn which: that
    of bitsandbytes undoes the packing that its CPU kernels read.
    """
    buffers = {k: v for k, v in module._buffers.items() if k not in module._non_persistent_buffers_set}
    own = {**module._parameters, **buffers}
    matrix = matrix_of(module)
    for field, tensor in own.items():
        if tensor is not None:
            place = "weight:" + field if tensor is matrix and field != "weight" else field
            yield from plain_tensors(f"{name}.{place}" if name else place, tensor, seen)
    if isinstance(bias := vars(module).get("bias"), Tensor):  # HQQ's is no parameter
        yield from plain_tensors(f"{name}.bias", bias, seen)
    for field, tensor in beside(module):
        yield from plain_tensors(f"{name}.weight:{field}", tensor, seen)


def beside(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """What libraries, and we, keep of a matrix outside a module's parameters."""
    packed = getattr(module, "packed", None)
    if packed is not None:
        yield from packed.tensors()
    state = getattr(module, "state", None)
    for field in STATE_FIELDS:
        if isinstance(tensor := getattr(state, field, None), Tensor):
            yield field, tensor
    meta = getattr(module, "meta", None)  # HQQ's scales and zeros
    if isinstance(meta, Mapping):
        yield from ((field, value) for field, value in meta.items() if isinstance(value, Tensor))


def quantizer_state(weight: Any) -> Iterator[tuple[str, Tensor]]:
    """Scales and tables that bitsandbytes keeps beside a 4-bit parameter, doubly quantized ones too."""
    state = getattr(weight, "quant_state", None)
    while state is not None:
        for field in ("absmax", "code", "offset"):
            if isinstance(tensor := getattr(state, field, None), Tensor):
                yield field, tensor
        state = getattr(state, "state2", None)


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
