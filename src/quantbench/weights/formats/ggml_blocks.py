"""What is in a block of each GGUF type: plain torch, blocks uint8 [n, bytes] -> values float32 [n, values].

Layouts and the order of operations are those of ggml's dequantize_row functions (ggml-quants.c) and of
gguf-py, so that values are equal bit for bit. d is a float16 scale, m a float16 minimum, q a code.
K types have 256 values in sub-blocks of 32 (Q6_K: 16), whose scales are integers that share one d.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

MX_LEVELS = (0, 1, 2, 3, 4, 6, 8, 12)  # twice the levels of a float with 2 bits of exponent and 1 of mantissa
NONLINEAR = (-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113)  # IQ4_NL's levels


def halves(blocks: "Tensor", at: int) -> "Tensor":
    """The float16 that begins at byte `at` of each block, float32 [n, 1]."""
    import torch

    return blocks[:, at : at + 2].contiguous().view(torch.float16).float()


def nibbles(data: "Tensor") -> "Tensor":
    """Bytes [n, b] as codes [n, 2 b]: the low nibbles of all, then the high ones."""
    import torch

    return torch.cat((data & 15, data >> 4), dim=1)


def fifth_bits(data: "Tensor") -> "Tensor":
    """32 bits in four bytes, each as 0 or 16: uint8 [n, 32]."""
    import torch

    shifts = torch.arange(8, dtype=torch.uint8, device=data.device)
    bits = (data[:, :, None] >> shifts) & 1
    return bits.reshape(len(data), 32) << 4


def q4_0(blocks: "Tensor") -> "Tensor":
    """d, 16 bytes of nibbles: (q - 8) d."""
    return halves(blocks, 0) * (nibbles(blocks[:, 2:18]).float() - 8)


def q4_1(blocks: "Tensor") -> "Tensor":
    """d, m, 16 bytes of nibbles: q d + m."""
    return halves(blocks, 0) * nibbles(blocks[:, 4:20]).float() + halves(blocks, 2)


def five_bits(blocks: "Tensor", at: int) -> "Tensor":
    """Codes of 32 high bits that begin at byte `at`, and 16 bytes of nibbles behind them: uint8 [n, 32]."""
    return nibbles(blocks[:, at + 4 : at + 20]) | fifth_bits(blocks[:, at : at + 4])


def q5_0(blocks: "Tensor") -> "Tensor":
    """d, 32 high bits, 16 bytes of nibbles: (q - 16) d."""
    return halves(blocks, 0) * (five_bits(blocks, 2).float() - 16)


def q5_1(blocks: "Tensor") -> "Tensor":
    """d, m, 32 high bits, 16 bytes of nibbles: q d + m."""
    return halves(blocks, 0) * five_bits(blocks, 4).float() + halves(blocks, 2)


def q8_0(blocks: "Tensor") -> "Tensor":
    """d, 32 signed bytes: q d."""
    import torch

    return halves(blocks, 0) * blocks[:, 2:].contiguous().view(torch.int8).float()


def iq4_nl(blocks: "Tensor") -> "Tensor":
    """d, 16 bytes of nibbles that choose one of sixteen levels."""
    import torch

    levels = torch.tensor(NONLINEAR, dtype=torch.float32, device=blocks.device)
    return halves(blocks, 0) * levels[nibbles(blocks[:, 2:18]).int()]


def mxfp4(blocks: "Tensor") -> "Tensor":
    """An exponent e, 16 bytes of nibbles that choose one of sixteen levels: level * 2 ** (e - 128)."""
    import torch

    levels = torch.tensor((*MX_LEVELS, *(-level for level in MX_LEVELS)), dtype=torch.float32)
    exponent = blocks[:, :1].int() - 128
    scale = torch.ldexp(torch.ones_like(exponent, dtype=torch.float32), exponent)
    return scale * levels.to(blocks.device)[nibbles(blocks[:, 1:17]).int()]


def scales_and_mins(packed: "Tensor") -> "tuple[Tensor, Tensor]":
    """Eight 6-bit scales and eight 6-bit minima in twelve bytes: uint8 [n, 8] each."""
    import torch

    first, second, rest = packed[:, 0:4], packed[:, 4:8], packed[:, 8:12]
    scales = torch.cat((first & 63, (rest & 15) | ((first >> 2) & 48)), dim=1)
    minima = torch.cat((second & 63, (rest >> 4) | ((second >> 2) & 48)), dim=1)
    return scales, minima


def q4_k_codes(blocks: "Tensor") -> "Tensor":
    """128 bytes of nibbles, 32 of each of two sub-blocks: uint8 [n, 256]."""
    return ((blocks[:, 16:144].reshape(-1, 4, 1, 32) >> _shifts(blocks)) & 15).reshape(-1, 256)


def q4_k(blocks: "Tensor") -> "Tensor":
    """d, m, scales and minima, 128 bytes of nibbles: q (s d) - t m."""
    return sub_blocks(blocks, q4_k_codes(blocks))


def q5_k_codes(blocks: "Tensor") -> "Tensor":
    """32 bytes of high bits, one bit of each byte a sub-block, then nibbles as in Q4_K: uint8 [n, 256]."""
    import torch

    data = blocks[:, 48:176].reshape(-1, 4, 1, 32)
    bits = torch.arange(8, dtype=torch.uint8, device=blocks.device).reshape(1, 8, 1)
    high = ((blocks[:, 16:48].reshape(-1, 1, 32) >> bits) & 1) << 4
    return (((data >> _shifts(blocks)) & 15).reshape(-1, 8, 32) | high).reshape(-1, 256)


def q5_k(blocks: "Tensor") -> "Tensor":
    """As Q4_K with 32 bytes of high bits before the nibbles."""
    return sub_blocks(blocks, q5_k_codes(blocks))


def _shifts(blocks: "Tensor") -> "Tensor":
    import torch

    return torch.tensor((0, 4), dtype=torch.uint8, device=blocks.device).reshape(1, 1, 2, 1)


def sub_blocks(blocks: "Tensor", codes: "Tensor") -> "Tensor":
    """Values of Q4_K and Q5_K from their codes."""
    scales, minima = scales_and_mins(blocks[:, 4:16])
    d = (halves(blocks, 0) * scales.float())[:, :, None]
    m = (halves(blocks, 2) * minima.float())[:, :, None]
    return (d * codes.reshape(-1, 8, 32).float() - m).reshape(-1, 256)


def q6_k_codes(blocks: "Tensor") -> "Tensor":
    """128 bytes of nibbles, 64 of two high bits: uint8 [n, 256]."""
    import torch

    shifts = torch.tensor((0, 2, 4, 6), dtype=torch.uint8, device=blocks.device).reshape(1, 1, 4, 1)
    low = blocks[:, :128].reshape(-1, 2, 1, 64)
    low = ((low >> _shifts(blocks)) & 15).reshape(-1, 8, 32)
    high = ((blocks[:, 128:192].reshape(-1, 2, 1, 32) >> shifts) & 3).reshape(-1, 8, 32)
    return (low | (high << 4)).reshape(-1, 256)


def q6_k(blocks: "Tensor") -> "Tensor":
    """128 bytes of nibbles, 64 of two high bits, 16 signed scales, d: (q - 32) (s d)."""
    import torch

    codes = q6_k_codes(blocks).float() - 32
    scales = blocks[:, 192:208].contiguous().view(torch.int8).float()
    d = (halves(blocks, 208) * scales)[:, :, None]
    return (d * codes.reshape(-1, 16, 16)).reshape(-1, 256)


DEQUANTIZE: "dict[str, Callable[[Tensor], Tensor]]" = {
    "Q4_0": q4_0,
    "Q4_1": q4_1,
    "Q5_0": q5_0,
    "Q5_1": q5_1,
    "Q8_0": q8_0,
    "Q4_K": q4_k,
    "Q5_K": q5_k,
    "Q6_K": q6_k,
    "IQ4_NL": iq4_nl,
    "MXFP4": mxfp4,
}
