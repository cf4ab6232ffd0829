"""Models whose experts are stored as MXFP4 in folders of transformers (gpt-oss): held as the files have them.

The model is made without weights; experts in one tensor [number, in, out] get the files' codes, [number, out,
in / 32, 16] bytes of which the low nibble comes first, with an exponent (E8M0) for each 32 inputs; all other
tensors are read as floats. Source: the OCP microscaling specification, and transformers' own converter.
"""

from typing import Any

import torch
from torch import Tensor, nn

from quantbench.decoding.packed_stacks import pack_stacks, stacked_fields
from quantbench.errors import ModelError
from quantbench.sources import ModelSource
from quantbench.weights.formats import TableWeight
from quantbench.weights.readers.packed import E2M1

BLOCKS, SCALES, EXPONENT_BIAS = "_blocks", "_scales", 127


def load_mxfp4_model(source: ModelSource, *, device: str, dtype: str, trust_remote_code: bool) -> Any:
    """The model on `device`; ModelError for tensors that are missing or of another shape."""
    from accelerate import init_empty_weights
    from transformers import AutoConfig, AutoModelForCausalLM

    kind = getattr(torch, dtype)
    settings = {key: value for key, value in source.config.items() if key != "quantization_config"}
    config = AutoConfig.for_model(settings.pop("model_type"), **settings)
    with init_empty_weights(include_buffers=False):
        model = AutoModelForCausalLM.from_config(config, dtype=kind, trust_remote_code=trust_remote_code)
    stored = set(source.names())
    for name, module in list(model.named_modules()):
        fields = [field for field in stacked_fields(module) if f"{name}.{field}{BLOCKS}" in stored]
        shapes = {field: module._parameters[field].shape for field in fields}
        weights = {
            field: stored_stack(source, f"{name}.{field}", shape).map(lambda t: t.to(device))
            for field, shape in shapes.items()
        }
        if weights:
            pack_stacks(module, weights, kind)
    fill(model, source, device, kind)
    if hasattr(model, "set_experts_implementation"):
        model.set_experts_implementation("eager")  # asks for one expert at a time
    return model


def stored_stack(source: ModelSource, name: str, shape: torch.Size) -> TableWeight:
    """Experts whose parameter has `shape` [number, in, out] as one weight [number x out, in]."""
    blocks, scales = tensor_of(source, name + BLOCKS), tensor_of(source, name + SCALES)
    number, inputs, out = shape
    groups = inputs // 32
    if blocks.shape != (number, out, groups, 16) or scales.shape != (number, out, groups) or inputs % 32:
        raise ModelError(
            f"'{name}{BLOCKS}' of '{source.name}' has shape {list(blocks.shape)}, which is not {number} "
            f"experts of {out} rows of {inputs} in MXFP4; get a complete copy of the model"
        )
    exponents = scales.reshape(-1, groups).float() - EXPONENT_BIAS
    codes = blocks.reshape(-1, inputs // 2).contiguous()
    return TableWeight(codes, torch.exp2(exponents), torch.tensor(E2M1), "mxfp4")


def fill(model: nn.Module, source: ModelSource, device: str, kind: torch.dtype) -> None:
    """Read every parameter that is still without values."""
    for owner_name, owner in model.named_modules():
        for field, parameter in owner._parameters.items():
            if parameter is None or not parameter.is_meta:
                continue
            name = f"{owner_name}.{field}"
            value = tensor_of(source, name)
            if value.shape != parameter.shape:
                raise ModelError(
                    f"'{name}' of '{source.name}' has shape {list(value.shape)} instead of "
                    f"{list(parameter.shape)}; get a complete copy of the model"
                )
            owner._parameters[field] = nn.Parameter(value.to(device, kind), requires_grad=False)


def tensor_of(source: ModelSource, name: str) -> Tensor:
    """A stored tensor; ModelError where the files lack it."""
    if name not in source.names():
        raise ModelError(f"'{source.name}' lacks '{name}'; get a complete copy of the model")
    return source.tensor(name)
