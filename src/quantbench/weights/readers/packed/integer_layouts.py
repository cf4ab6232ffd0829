"""Integer weights with zero points as GPTQ, AWQ and HQQ lay them out; AutoRound uses the first two.

Sources: the packing of AutoGPTQ and GPTQModel (qweight packs along the inputs, qzeros along the outputs, v1
stores a zero point less one), AutoAWQ's gemm kernels (codes of eight outputs a word in the order 0 2 4 6 1 3
5 7), HQQ's Quantizer (the first half of all groups in the high nibbles).
"""

from collections.abc import Iterable, Sequence
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
from quantbench.weights.readers.packed.bits import codes_along, evenly, group_sizes, narrow

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
    codes, zeros = codes_along(words, bits, 0).T, module.matrix("qzeros")
    if version_of(settings) == 1:
        zeros = plus_one(zeros, bits)
    groups = module.tensor("g_idx") if settings.get("desc_act") else module.optional("g_idx")
    grid = (module.matrix("scales").T, codes_along(zeros, bits, 1).T)
    return grouped(module, codes, grid, bits=bits, groups=groups, said=(settings.get("group_size"),))


def plus_one(words: "Tensor", bits: int) -> "Tensor":
    """int32 words of zero points that are stored less one.

    One is added to all codes of a word at once, as GPTQModel takes it away: a zero point of 0 is stored as
    the highest code, and borrows from its neighbour.
    """
    import torch

    ones = sum(1 << shift for shift in range(0, 32, bits))
    return (words.long() + ones).to(torch.int32)


def version_of(settings: dict[str, Any]) -> int:
    """1 where zero points are stored less one, as everywhere but in 'gptq_v2'."""
    return 2 if settings.get("checkpoint_format") == "gptq_v2" else 1


def grouped(
    module: "Module",
    codes: "Tensor",
    grid: "tuple[Tensor, Tensor]",
    *,
    bits: int,
    said: "Iterable[Any]",
    groups: "Tensor | None" = None,
) -> Weight:
    """Of codes [out, in] and their grid, scales and zero points [out, groups]; `groups` names each input's
    group, `said` the sizes in the configuration. ModelError where these do not fit each other.
    """
    import torch

    (scales, zeros), (out, inputs) = grid, module.shape
    count = scales.shape[1]
    sizes = group_sizes(inputs, count, [size for size in said if isinstance(size, int)])
    order = None
    if groups is not None and (sizes is None or not in_order(groups, sizes)):
        sizes = torch.bincount(groups.long(), minlength=count).tolist()
        order = torch.argsort(groups.long(), stable=True)
    if sizes is None or len(sizes) != count or sum(sizes) != inputs or not all(sizes):
        raise module.unreadable("has groups that do not fit its weights or its configuration")
    if scales.shape != (out, count) or zeros.shape != scales.shape:
        raise module.unreadable("has scales and zero points that do not fit its weights")
    codes = codes if order is None else codes[:, order]
    weight = integer_weight(codes, evenly(scales, sizes), evenly(zeros, sizes), bits)
    return weight if order is None else PermutedWeight(weight, order)


def in_order(groups: "Tensor", sizes: "Sequence[int]") -> bool:
    """Whether the groups are runs of these lengths, one after another."""
    import torch

    return torch.equal(groups.long(), torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes)))


def awq(module: "Module", settings: dict[str, Any]) -> Weight:
    """qweight [in, out / 8], scales [groups, out], qzeros [groups, out / 8], codes in AWQ's order."""
    out, inputs = module.shape
    words = module.matrix("qweight")
    if str(settings.get("version") or "gemm").lower() != "gemm" or words.shape != (inputs, out // 8):
        raise module.unreadable("is not in AWQ's gemm layout of 4 bits; save it with version='gemm'")
    grid = (module.matrix("scales").T, awq_codes(module.matrix("qzeros")).T)
    said = (settings.get("group_size"), settings.get("q_group_size"))
    return grouped(module, awq_codes(words).T, grid, bits=4, said=said)


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
    said = [asked.get("group_size") for asked in weight_settings(settings)]
    groups = module.optional("weight_g_idx")
    return grouped(module, codes, (scales, zeros), bits=bits, groups=groups, said=said)


def weight_settings(settings: dict[str, Any]) -> list[dict[str, Any]]:
    """What compressed-tensors' configuration asks of the weights of each group of modules."""
    groups = settings.get("config_groups")
    found = groups.values() if isinstance(groups, dict) else ()
    asked = [group.get("weights") for group in found if isinstance(group, dict)]
    return [weights for weights in asked if isinstance(weights, dict)]


def is_asymmetric(settings: dict[str, Any]) -> bool:
    """Whether every group of modules has zero points, so that none may lack them."""
    asked = weight_settings(settings)
    return bool(asked) and all(not weights.get("symmetric", True) for weights in asked)
