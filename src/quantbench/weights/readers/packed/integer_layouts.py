"""Integer weights with zero points as GPTQ, AWQ and HQQ lay them out; AutoRound uses the first two.

Sources: the packing of AutoGPTQ and GPTQModel (qweight packs along the inputs, qzeros along the outputs, v1
stores a zero point less one), AutoAWQ's gemm kernels (codes of eight outputs a word in the order 0 2 4 6 1 3
5 7), HQQ's Quantizer (the first half of all groups in the high nibbles).
"""

from typing import TYPE_CHECKING, Any

from quantbench.weights.formats import (
    Int4Weight,
    Int8GroupsWeight,
    Int8Weight,
    IntegerWeight,
    PermutedWeight,
    Weight,
)
from quantbench.weights.formats.nibbles import pack_pairs
from quantbench.weights.readers.packed.bits import codes_along, narrow

if TYPE_CHECKING:
    from torch import Tensor

    from quantbench.weights.readers.packed.module import Module

AWQ_ORDER = (0, 4, 1, 5, 2, 6, 3, 7)  # nibble of the word that holds output 0, 1, ...
GPTQ_BITS, HQQ_BITS = (4, 8), (4, 8)


def integer_weight(codes: "Tensor", scale: "Tensor", zero: "Tensor", bits: int) -> Weight:
    """Of codes uint8 [out, in], scale and zero [out, groups].

    In formats that more kernels take where these hold the same values: symmetric ones, and those whose zero
    points times their scales are exact in 16 bits.
    """
    import torch

    scale, zero = narrow(scale).contiguous(), zero.to(torch.float16).contiguous()
    halves, symmetric = scale.dtype is torch.float16, bool((zero == 1 << (bits - 1)).all())
    if bits == 8:
        signed = (codes ^ 128).contiguous().view(torch.int8)
        if symmetric and scale.shape[1] == 1:
            return Int8Weight(signed, scale[:, 0].float())
        if symmetric and halves:
            return Int8GroupsWeight(signed, scale)
        return IntegerWeight(codes.contiguous(), scale, zero, 8)
    packed = pack_pairs(codes).contiguous()
    moved = (8 - zero.float()) * scale.float()  # of code 8
    if halves and torch.equal(moved.half().float(), moved):
        return Int4Weight(packed, scale, moved.half())
    return IntegerWeight(packed, scale, zero, 4)


def gptq(module: "Module", settings: dict[str, Any]) -> Weight:
    """qweight [in / codes, out], scales [groups, out], qzeros [groups, out / codes], perhaps g_idx [in]."""
    out, inputs = module.shape
    words = module.matrix("qweight")
    bits = words.shape[0] * 32 // inputs
    if bits not in GPTQ_BITS or words.shape != (inputs * bits // 32, out):
        raise module.unreadable(
            f"packs {words.shape[0] * 32 / inputs:g} bits a weight, of which 4 and 8 are read"
        )
    codes = codes_along(words, bits, 0).T
    scales = module.matrix("scales").T
    zeros = codes_along(module.matrix("qzeros"), bits, 1).T.int()
    if version_of(settings) == 1:
        zeros = (zeros + 1) & ((1 << bits) - 1) if bits == 4 else zeros + 1
    if scales.shape != (out, scales.shape[1]) or zeros.shape != scales.shape or inputs % scales.shape[1]:
        raise module.unreadable("has scales and zero points that do not fit its weights")
    groups = module.tensor("g_idx") if settings.get("desc_act") else module.optional("g_idx")
    if groups is None or in_order(groups, scales.shape[1]):
        return integer_weight(codes, scales, zeros, bits)
    order = reorder(module, groups, scales.shape[1])
    return PermutedWeight(integer_weight(codes[:, order], scales, zeros, bits), order)


def version_of(settings: dict[str, Any]) -> int:
    """1 where zero points are stored less one, as everywhere but in 'gptq_v2'."""
    return 2 if settings.get("checkpoint_format") == "gptq_v2" else 1


def in_order(groups: "Tensor", count: int) -> bool:
    """Whether the groups are runs of equal length, one after another."""
    import torch

    size = len(groups) // count
    return torch.equal(groups.long(), torch.arange(len(groups)) // size)


def reorder(module: "Module", groups: "Tensor", count: int) -> "Tensor":
    """The inputs, sorted by their group; ModelError where groups are of unequal size."""
    import torch

    sizes = torch.bincount(groups.long(), minlength=count)
    if len(sizes) != count or int(sizes.min()) != int(sizes.max()):
        raise module.unreadable("has groups of unequal sizes in its g_idx")
    return torch.argsort(groups.long(), stable=True)


def awq(module: "Module", settings: dict[str, Any]) -> Weight:
    """qweight [in, out / 8], scales [groups, out], qzeros [groups, out / 8], codes in AWQ's order."""
    out, inputs = module.shape
    words = module.matrix("qweight")
    if settings.get("version", "gemm").lower() != "gemm" or words.shape != (inputs, out // 8):
        raise module.unreadable("is not in AWQ's gemm layout of 4 bits; save it with version='gemm'")
    scales = module.matrix("scales").T
    zeros = awq_codes(module.matrix("qzeros")).T
    if zeros.shape != scales.shape or inputs % scales.shape[1]:
        raise module.unreadable("has scales and zero points that do not fit its weights")
    return integer_weight(awq_codes(words).T, scales, zeros, 4)


def awq_codes(words: "Tensor") -> "Tensor":
    """int32 [n, words] -> uint8 [n, 8 words]."""
    import torch

    shifts = torch.tensor(AWQ_ORDER, dtype=torch.int32) * 4
    return ((words[..., None] >> shifts) & 15).to(torch.uint8).reshape(words.shape[0], -1)


def auto_round(module: "Module", settings: dict[str, Any]) -> Weight:
    """AutoRound in the layout that its packing_format names."""
    packing = str(settings.get("packing_format", "auto_round:auto_gptq"))
    if packing.endswith("awq"):
        return awq(module, settings)
    if packing.endswith("gptq") or packing == "auto_round":
        return gptq(module, settings)
    raise module.unreadable(f"has the packing '{packing[:50]}', of which auto_gptq and auto_awq are read")


def hqq(module: "Module", settings: dict[str, Any]) -> Weight:
    """W_q [groups / 2, size], the first half of the groups in the high nibbles; 8 bits [groups, size]."""
    import torch

    out, inputs = module.shape
    bits, axis = (int(module.tensor(name)) for name in ("nbits", "axis"))
    flags = ("quant_zero", "quant_scale", "view_as_float")
    if bits not in HQQ_BITS or axis != 1 or any(_true(module.optional(flag)) for flag in flags):
        raise module.unreadable("is HQQ of another kind than 4 or 8 bits along axis 1 with plain scales")
    data = module.matrix("W_q")
    codes = torch.cat((data >> 4, data & 15)) if bits == 4 else data
    scale, zero = module.tensor("scale"), module.tensor("zero")
    if codes.numel() != out * inputs or inputs % codes.shape[1] or len(scale) != len(codes):
        raise module.unreadable("has groups that do not fit its rows")
    zero = zero.reshape(out, -1)
    if not torch.equal(zero.half().double(), zero.double()):
        raise module.unreadable("has zero points that float16 does not hold")
    return integer_weight(codes.reshape(out, inputs), scale.reshape(out, -1), zero, bits)


def _true(flag: "Tensor | None") -> bool:
    return flag is not None and bool(flag.any())


def pack_quantized(module: "Module", settings: dict[str, Any]) -> Weight:
    """compressed-tensors' pack-quantized: codes along the inputs, less half their range, as zero points."""
    out, inputs = module.shape
    words = module.matrix("weight_packed")
    bits = next((b for b in (4, 8) if words.shape == (out, -(-inputs // (32 // b)))), None)
    if bits is None:
        raise module.unreadable("packs neither 4 nor 8 bits a weight")
    codes, scales = codes_along(words, bits, 1)[:, :inputs], module.tensor("weight_scale")
    scales = scales.reshape(1, 1).expand(out, 1) if scales.numel() == 1 else scales
    read = module.tensor if is_asymmetric(settings) else module.optional
    packed_zeros = read("weight_zero_point")
    zeros = scales.new_full(scales.shape, 1 << (bits - 1))
    if packed_zeros is not None:
        zeros = (
            codes_along(packed_zeros, bits, 0)[:out]
            if packed_zeros.dtype.itemsize == 4
            else (packed_zeros.short() + (1 << (bits - 1)))
        )
    if inputs % scales.shape[1] or zeros.shape != scales.shape:
        raise module.unreadable("has scales and zero points that do not fit its weights")
    groups = module.optional("weight_g_idx")
    if groups is None or in_order(groups, scales.shape[1]):
        return integer_weight(codes, scales, zeros, bits)
    order = reorder(module, groups, scales.shape[1])
    return PermutedWeight(integer_weight(codes[:, order], scales, zeros, bits), order)


def is_asymmetric(settings: dict[str, Any]) -> bool:
    """Whether every group of modules has zero points, so that none may lack them."""
    groups = (settings.get("config_groups") or {}).values()
    return bool(groups) and all(not (group.get("weights") or {}).get("symmetric", True) for group in groups)
