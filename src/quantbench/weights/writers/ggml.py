"""Weights as rows of a GGUF type: floats, blocks as they are, and integers that such blocks hold exactly."""

from typing import TYPE_CHECKING

from quantbench.weights.formats import BlockWeight, FloatWeight, Int4DoubleWeight, Weight
from quantbench.weights.formats.int4_double import ZERO_BIAS, ZERO_STEP
from quantbench.weights.formats.nibbles import unpack_pairs
from quantbench.weights.writers.integers import GGML_GROUP, Integers, Unfit, integers_of

if TYPE_CHECKING:
    from torch import Tensor

FLOATS = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}
MIDDLES = {4: 8, 8: 128}


def ggml_tensor(weight: Weight) -> "tuple[str, Tensor]":
    """(type, floats or bytes uint8 [out, ...]) of exactly these values; Unfit where no type has them."""
    if isinstance(weight, FloatWeight):
        return FLOATS[weight.kind], weight.values
    if isinstance(weight, BlockWeight):
        return weight.kind, weight.data
    if isinstance(weight, Int4DoubleWeight):
        return "Q4_1", blocks_of_double(weight)
    held = integers_of(weight)
    scale, zero = per_block(held)
    if bool((zero == MIDDLES[held.bits]).all()):
        return (f"Q{held.bits}_0", symmetric_blocks(held, scale))
    if held.bits == 8:
        raise Unfit("GGUF has no type of 8 bits with zero points")
    return "Q4_1", blocks_with_minimum(held, scale, zero)


def per_block(held: Integers) -> "tuple[Tensor, Tensor]":
    """Scale (float16) and zero point of each block of 32, [out, blocks]; Unfit where groups are no blocks."""
    import torch

    inputs, groups = held.codes.shape[1], held.scale.shape[1]
    if (inputs // groups) % GGML_GROUP:
        raise Unfit(f"its groups of {inputs // groups} are no whole number of GGUF's blocks of {GGML_GROUP}")
    if held.scale.dtype is not torch.float16:
        raise Unfit("its scales need more than the 16 bits of GGUF's blocks")
    times = inputs // groups // GGML_GROUP
    return held.scale.repeat_interleave(times, 1), held.zero.repeat_interleave(times, 1)


def symmetric_blocks(held: Integers, scale: "Tensor") -> "Tensor":
    """Q8_0: the scale and 32 signed bytes. Q4_0: the scale and 16 bytes, the first half's codes low."""
    import torch

    codes = held.codes.reshape(*scale.shape, GGML_GROUP)
    if held.bits == 8:
        return joined(scale, codes ^ 128)
    half = GGML_GROUP // 2
    return joined(scale, codes[..., :half] | (codes[..., half:] << 4).to(torch.uint8))


def blocks_with_minimum(held: Integers, scale: "Tensor", zero: "Tensor") -> "Tensor":
    """Q4_1: w = code * scale + minimum, both float16; Unfit where 16 bits do not hold -zero * scale."""
    import torch

    exact = -zero.float() * scale.float()
    minimum = exact.half()
    if not torch.equal(minimum.float(), exact):
        raise Unfit("its zero points times their scales need more than the 16 bits of GGUF's Q4_1")
    return q4_1_blocks(held.codes, scale, minimum)


def blocks_of_double(weight: Int4DoubleWeight) -> "Tensor":
    """Q4_1 of double quantization; Unfit where 16 bits do not hold a group's step or lowest value."""
    step, zero = (part.float() for part in weight.affine.unbind(-1))
    low = (zero - ZERO_BIAS) * ZERO_STEP - 8 * step  # of code 0, over the row's scale
    exact = (step * weight.scale[:, None], low * weight.scale[:, None])
    held = tuple(part.half() for part in exact)
    if any(bool((half.float() != whole).any()) for half, whole in zip(held, exact, strict=True)):
        raise Unfit("some rows' scales need more than the 16 bits of GGUF's Q4_1")
    times = weight.group_size // GGML_GROUP
    scale, minimum = (part.repeat_interleave(times, 1) for part in held)
    return q4_1_blocks(unpack_pairs(weight.packed), scale, minimum)


def q4_1_blocks(codes: "Tensor", scale: "Tensor", minimum: "Tensor") -> "Tensor":
    """Codes uint8 [out, in], scale and minimum float16 [out, blocks]."""
    import torch

    parts, half = codes.reshape(*scale.shape, GGML_GROUP), GGML_GROUP // 2
    both = torch.stack((scale, minimum), dim=-1)
    return joined(both, parts[..., :half] | (parts[..., half:] << 4))


def joined(head: "Tensor", codes: "Tensor") -> "Tensor":
    """Rows uint8 of blocks: float16 heads [out, blocks(, n)] before bytes [out, blocks, m]."""
    import torch

    first = head.reshape(*codes.shape[:2], -1).contiguous().view(torch.uint8)
    return torch.cat((first, codes), dim=-1).reshape(codes.shape[0], -1)
