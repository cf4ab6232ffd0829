"""Two codes of four bits in a byte: the even input in the low nibble, the odd one in the high nibble."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def pack_pairs(codes: "Tensor") -> "Tensor":
    """Codes 0..15 [rows, in] of any type as bytes [rows, in / 2]."""
    import torch

    codes = codes.to(torch.uint8)
    return codes[:, ::2] | (codes[:, 1::2] << 4)


def unpack_pairs(packed: "Tensor") -> "Tensor":
    """Bytes [rows, in / 2] as the codes that `pack_pairs` took, uint8 [rows, in]."""
    import torch

    return torch.stack((packed & 15, packed >> 4), dim=-1).reshape(packed.shape[0], -1)
