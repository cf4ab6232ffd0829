"""Codes and heads of GGUF blocks, apart and together again, byte for byte.

A block's codes are one number without sign a weight (Q8_0's are bytes with their sign, as they lie); its head
is all else in it: scales and minima, in the block's own order.
"""

from typing import TYPE_CHECKING

from quantbench.weights.formats.ggml_blocks import five_bits, nibbles, q4_k_codes, q5_k_codes, q6_k_codes

if TYPE_CHECKING:
    from torch import Tensor

HEADS = {  # where the bytes of a block's head begin and end
    "Q4_0": (0, 2),
    "Q4_1": (0, 4),
    "Q5_0": (0, 2),
    "Q5_1": (0, 4),
    "Q8_0": (0, 2),
    "Q4_K": (0, 16),
    "Q5_K": (0, 16),
    "Q6_K": (192, 210),
    "IQ4_NL": (0, 2),
}


def split_blocks(kind: str, blocks: "Tensor") -> "tuple[Tensor, Tensor]":
    """Blocks uint8 [n, bytes] as codes uint8 [n, values], as inputs are ordered, and heads uint8 [n, ..]."""
    begin, end = HEADS[kind]
    head = blocks[:, begin:end]
    if kind == "Q8_0":
        return blocks[:, end:], head
    if kind in ("Q5_0", "Q5_1"):
        return five_bits(blocks, end), head
    codes = {"Q4_K": q4_k_codes, "Q5_K": q5_k_codes, "Q6_K": q6_k_codes}.get(kind)
    return codes(blocks) if codes else nibbles(blocks[:, end:]), head


def join_blocks(kind: str, codes: "Tensor", head: "Tensor") -> "Tensor":
    """The inverse of `split_blocks`."""
    import torch

    if kind == "Q8_0":
        parts = [head, codes]
    elif kind in ("Q5_0", "Q5_1"):
        parts = [head, _bits((codes >> 4).reshape(-1, 4, 8), step=1), _pairs(codes & 15, 16)]
    elif kind == "Q4_K":
        parts = [head, _pairs(codes, 32)]
    elif kind == "Q5_K":
        high = (codes >> 4).reshape(-1, 8, 32).transpose(1, 2)
        parts = [head, _bits(high, step=1), _pairs(codes & 15, 32)]
    elif kind == "Q6_K":
        high = (codes >> 4).reshape(-1, 2, 4, 32).transpose(2, 3)
        parts = [_pairs(codes & 15, 64), _bits(high, step=2), head]
    else:
        parts = [head, _pairs(codes, 16)]
    return torch.cat(parts, dim=1)


def _pairs(codes: "Tensor", apart: int) -> "Tensor":
    """Nibbles [n, values] as bytes [n, values / 2], each of two codes that lie so many inputs apart."""
    low, high = codes.reshape(len(codes), -1, 2, apart).unbind(2)
    return (low | (high << 4)).reshape(len(codes), -1)


def _bits(fields: "Tensor", *, step: int) -> "Tensor":
    """Fields of `step` bits [n, .., 8 / step] as bytes [n, ..], the first in the lowest bits."""
    import torch

    shifts = torch.arange(0, 8, step, dtype=torch.uint8, device=fields.device)
    return (fields << shifts).sum(dim=-1, dtype=torch.uint8).reshape(len(fields), -1)
