"""Keys and values in 8 bits: a code an element, and a float32 scale for each token and head.

The greatest element of a head gets the greatest code, others are rounded to the nearest one: int8 in equal
steps, fp8 (e4m3) in steps that grow with the element. What is not finite makes its scale NaN, so that it is
read as NaN. This is the reference; the kernels of a CPU and of a GPU do the same.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from quantbench.settings import KvFormat

SCALE_BYTES = 4
LEAST = 1e-30  # of what a head's greatest element counts as: zeros have a scale too


@dataclass(frozen=True, slots=True)
class KvCodes:
    """What the kernels know of a format."""

    number: int  # as they name it; 0 is none
    dtype: torch.dtype  # of the codes in memory, which tells the formats apart
    greatest: float

    @property
    def shown(self) -> str:
        """For Decoder.kernels()."""
        name = "int8" if self.dtype is torch.int8 else "fp8 (e4m3)"
        return f"{name} with a float32 scale per token and head"


KV_CODES = {
    KvFormat.INT8: KvCodes(1, torch.int8, 127.0),
    KvFormat.FP8: KvCodes(2, torch.uint8, 448.0),
}


def format_in(dtype: torch.dtype) -> KvFormat | None:
    """The format of codes of this type; None for activations."""
    return next((kv for kv, codes in KV_CODES.items() if codes.dtype is dtype), None)


def codes_in(dtype: torch.dtype) -> KvCodes | None:
    """The same as the kernels know it."""
    kv = format_in(dtype)
    return None if kv is None else KV_CODES[kv]


def encode(codes: KvCodes, x: Tensor) -> tuple[Tensor, Tensor]:
    """x [..., head_dim] -> its codes and its scales, float32 [...]."""
    x = x.float()
    top = x.abs().amax(-1).clamp(min=LEAST) + (x * 0).sum(-1)
    scaled = (x * (codes.greatest / top)[..., None]).clamp(-codes.greatest, codes.greatest)
    if codes.dtype is torch.int8:
        return scaled.nan_to_num().round().to(torch.int8), top / codes.greatest
    return scaled.to(torch.float8_e4m3fn).view(torch.uint8), top / codes.greatest


def decode(held: Tensor, scales: Tensor) -> Tensor:
    """Codes [..., head_dim] and scales [...] -> float32."""
    values = held if held.dtype is torch.int8 else held.view(torch.float8_e4m3fn)
    return values.float() * scales[..., None]


def rounded(codes: KvCodes, x: Tensor) -> Tensor:
    """What is read of x [..., head_dim] once it has been held so, in the type of x."""
    return decode(*encode(codes, x)).to(x.dtype)


def position_bytes(heads: int, head_dim: int, dtype: torch.dtype, kv: KvFormat | None) -> int:
    """Of one token's keys and values in a layer of so many key-value heads, with `kv` or as `dtype`."""
    each = head_dim * dtype.itemsize if kv is None else head_dim + SCALE_BYTES
    return 2 * heads * each
