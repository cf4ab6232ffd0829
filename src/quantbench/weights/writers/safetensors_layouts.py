"""Integers as the tensors of one module in compressed-tensors' pack-quantized layout, or in GPTQ's.

Sources: compressed-tensors' `pack_to_int32` and AutoGPTQ's packing, as `readers.packed` states them.
"""

from typing import TYPE_CHECKING

from quantbench.weights.formats import Weight
from quantbench.weights.writers.integers import Integers, Unfit, integers_of

if TYPE_CHECKING:
    from torch import Tensor


def words_along(codes: "Tensor", bits: int, dim: int) -> "Tensor":
    """Codes uint8 [a, b] as int32 words of 32 / bits codes along `dim`, lowest bits first, padded with 0."""
    import torch

    each = 32 // bits
    rows = codes if dim == 1 else codes.T
    rest = -rows.shape[1] % each
    padded = torch.nn.functional.pad(rows, (0, rest)).reshape(rows.shape[0], -1, each).to(torch.int64)
    shifts = torch.arange(0, 32, bits)
    words = (padded << shifts).sum(-1)
    signed = torch.where(words >= 1 << 31, words - (1 << 32), words).to(torch.int32)
    return (signed if dim == 1 else signed.T).contiguous()


def compressed_tensors_module(weight: Weight) -> "tuple[Integers, dict[str, Tensor]]":
    """The integers, and the module's tensors by the ends of their names; Unfit as `integers_of`."""
    import torch

    held = integers_of(weight)
    tensors = {
        "weight_packed": words_along(held.codes, held.bits, 1),
        "weight_scale": held.scale.contiguous(),
        "weight_shape": torch.tensor(held.codes.shape, dtype=torch.int64),
    }
    if not held.symmetric:
        tensors["weight_zero_point"] = words_along(held.zero, held.bits, 0)
    return held, tensors


def gptq_module(weight: Weight) -> "tuple[Integers, dict[str, Tensor]]":
    """The same in GPTQ's layout with zero points less one (version 1); Unfit where it cannot say them."""
    import torch

    held = integers_of(weight)
    out, inputs = held.codes.shape
    each = 32 // held.bits
    if out % each or inputs % each:
        raise Unfit(f"GPTQ's layout needs outputs and inputs that {each} divides")
    if held.scale.dtype is not torch.float16:
        raise Unfit("its scales need more than the 16 bits of GPTQ's layout")
    if int(held.zero.min()) == 0:
        raise Unfit("GPTQ's layout stores zero points less one, and some of its zero points are 0")
    size = inputs // held.scale.shape[1]
    return held, {
        "qweight": words_along(held.codes.T, held.bits, 0),
        "qzeros": words_along(held.zero.T - 1, held.bits, 1),
        "scales": held.scale.T.contiguous(),
        "g_idx": torch.arange(inputs, dtype=torch.int32) // size,
    }
