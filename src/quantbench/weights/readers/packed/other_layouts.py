"""Signed bytes, 8-bit floats and tables of levels, as other libraries store them.

Sources: compressed-tensors' compressors, transformers' fine-grained FP8, bitsandbytes' QuantState (high
nibble first; absmax per run of `blocksize` values of the whole matrix), torchao's safetensors, and the OCP
microscaling specification (E2M1 values, E8M0 scales).
"""

import json
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from quantbench.weights.formats import Float8Weight, Int8Weight, TableWeight, Weight
from quantbench.weights.readers.packed.bits import evenly, group_sizes, swap_nibbles
from quantbench.weights.readers.packed.integer_layouts import pack_quantized, weight_settings

if TYPE_CHECKING:
    from torch import Tensor

    from quantbench.weights.readers.packed.module import Module

E2M1 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0)


def compressed_tensors(module: "Module", settings: dict[str, Any]) -> Weight:
    """Whatever the module's own tensors say: packed integers or 4-bit floats, int8, FP8."""
    if (packed := module.optional("weight_packed")) is not None:
        return pack_quantized(module, settings) if packed.dtype.itemsize == 4 else float4(module, packed)
    if (zero := module.optional("weight_zero_point")) is not None and bool(zero.any()):
        raise module.unreadable("has zero points beside 8-bit values that are not packed")
    block = [asked.get("block_structure") for asked in weight_settings(settings)]
    return eight_bits(module, module.tensor("weight"), module.tensor("weight_scale"), block)


def float4(module: "Module", packed: "Tensor") -> Weight:
    """E2M1 codes, the low nibble first: NVFP4 (FP8 scales over a global one) or MXFP4 (powers of two)."""
    import torch

    scale, name = module.tensor("weight_scale"), "nvfp4"
    whole = module.optional("weight_global_scale")
    if whole is not None:
        scale = scale.float() / whole.float()
    elif scale.dtype is torch.uint8:
        name, scale = "mxfp4", torch.exp2(scale.float() - 127)
    else:
        raise module.unreadable("packs 4-bit floats in a layout that is neither NVFP4 nor MXFP4")
    return TableWeight(packed, scale.contiguous(), torch.tensor(E2M1), name)


def eight_bits(module: "Module", values: "Tensor", scale: "Tensor", said: "Iterable[Any]" = ()) -> Weight:
    """int8 with a scale a row, or e4m3 with a scale per tensor, row, or block [rows, inputs].

    `said` are the blocks in the configuration; equal ones where none of them has so many scales.
    """
    import torch

    out, inputs = module.shape
    if values.shape != module.shape:
        raise module.unreadable(f"has the shape {list(values.shape)} instead of {list(module.shape)}")
    scale = scale.reshape(1, 1) if scale.numel() == 1 else scale.reshape(len(scale), -1)
    blocks = [block for block in said if is_block(block)]
    rows = group_sizes(out, scale.shape[0], [block[0] for block in blocks])
    columns = group_sizes(inputs, scale.shape[1], [block[1] for block in blocks])
    kind = str(values.dtype).removeprefix("torch.")
    if rows and columns:
        scales = evenly(scale.float(), columns).repeat_interleave(torch.tensor(rows), 0).contiguous()
        if values.dtype is torch.int8 and scales.shape == (out, 1):
            return Int8Weight(values, scales[:, 0].contiguous())
        if values.dtype is torch.float8_e4m3fn:
            return Float8Weight(values, scales)
    raise module.unreadable(f"holds {kind} with scales of shape {list(scale.shape)}, which is not read")


def is_block(block: Any) -> bool:
    """Whether it is a pair of sizes."""
    return isinstance(block, list) and len(block) == 2 and all(isinstance(size, int) for size in block)


def fp8(module: "Module", settings: dict[str, Any]) -> Weight:
    """Fine-grained FP8: e4m3 with a scale per block of the matrix."""
    block = settings.get("weight_block_size")
    return eight_bits(module, module.tensor("weight"), module.tensor("weight_scale_inv"), [block])


def torchao(module: "Module", settings: dict[str, Any]) -> Weight:
    """int8 or e4m3 with a scale a row."""
    if (zero := module.optional("_weight_zero_point")) is not None and bool(zero.any()):
        raise module.unreadable("has zero points in torchao's layout")
    return eight_bits(module, module.tensor("_weight_qdata"), module.tensor("_weight_scale"))


def bitsandbytes(module: "Module", settings: dict[str, Any]) -> Weight:
    """LLM.int8() (SCB is the largest magnitude of a row) or 4 bits with a table of levels."""
    import torch

    if (largest := module.optional("SCB")) is not None:
        return Int8Weight(module.tensor("weight"), largest.float() / 127)
    out, inputs = module.shape
    state_name = next((name for name in module.suffixes if ".quant_state." in name), None)
    if state_name is None:
        raise module.unreadable("has no quant_state beside its packed weights; save the model again")
    state = json.loads(bytes(module.tensor(state_name).tolist()))
    if tuple(state["shape"]) != module.shape or (out * inputs) % 2:
        raise module.unreadable(f"has the shape {state['shape']} instead of {list(module.shape)}")
    largest = absmax(module, state)
    run = math.gcd(inputs, int(state["blocksize"]))
    starts = torch.arange(0, out * inputs, run) // int(state["blocksize"])
    codes = swap_nibbles(module.tensor("weight").view(torch.uint8).reshape(out, inputs // 2))
    levels = module.tensor("weight.quant_map").float()
    return TableWeight(codes, largest[starts].reshape(out, -1), levels, str(state["quant_type"]))


def absmax(module: "Module", state: dict[str, Any]) -> "Tensor":
    """The scale of each run of values, float32; where it is quantized itself, dequantized."""
    import torch

    stored = module.tensor("weight.absmax")
    if stored.dtype is not torch.uint8:
        return stored.float()
    nested = module.tensor("weight.nested_absmax").float()
    values = module.tensor("weight.nested_quant_map").float()[stored.int()]
    largest = nested.repeat_interleave(int(state["nested_blocksize"]))[: len(stored)]
    return torch.add(values * largest, float(state["nested_offset"]))
