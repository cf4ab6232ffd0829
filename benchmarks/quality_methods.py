"""What benchmarks/quality.py can measure besides the product's methods: formats that it is compared with.

Each is a method like the product's own, with embedding and head at 16 bits. Those without a format of ours
are held as floats after rounding; their bits are then what their own format would take.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from quantbench.methods import METHODS, LoadSettings, calibrating
from quantbench.methods.method import Loaded, Method
from quantbench.methods.mixed import MIXED
from quantbench.methods.quantized import QuantizedMethod, with_head16
from quantbench.sources import ModelSource
from quantbench.weights.formats import FloatWeight, Int4Weight, Weight
from quantbench.weights.formats.nibbles import pack_pairs
from quantbench.weights.quantizers.int4 import codes, quantize_int4, search, to_half

Rounding = Callable[[Tensor], Tensor]  # [rows, groups, group] -> the same, rounded
NF4 = (-1, -0.6961928, -0.5250731, -0.3949175, -0.2844414, -0.1847734, -0.09105004, 0,
       0.0795803, 0.1609302, 0.2461123, 0.3379152, 0.4407098, 0.562617, 0.7229568, 1)  # fmt: skip


def dividing(columns: int, group: int) -> int:
    """`group`, or the half of it that divides the width."""
    return group if columns % group == 0 else group // 2


def searched(group: int, calibrated: bool, name: str, weight: Tensor, squares: Tensor | None) -> Weight:
    """16-bit scale and zero a group, found by the search."""
    size = dividing(weight.shape[1], group)
    return quantize_int4(name, weight, group_size=size, importance=squares if calibrated else None)


def nearest(group: int, name: str, weight: Tensor, squares: Tensor | None) -> Weight:
    """16-bit scale and zero of each group's whole range, round to nearest."""
    size = dividing(weight.shape[1], group)
    w = weight.float().reshape(len(weight), -1, size)
    low, high = w.aminmax(dim=-1, keepdim=True)
    scale = to_half((high - low) / 15)
    zero = to_half(low + 8 * scale)
    packed = pack_pairs(codes(w, scale, zero).add_(8).reshape(weight.shape))
    return Int4Weight(packed, scale.squeeze(-1).half(), zero.squeeze(-1).half())


def rounded(group: int, rounding: Rounding, name: str, weight: Tensor, squares: Tensor | None) -> Weight:
    """Floats that another format could hold."""
    parts = weight.float().reshape(len(weight), -1, group)
    return FloatWeight(rounding(parts).reshape(weight.shape))


def q4_0(w: Tensor) -> Tensor:
    """llama.cpp's: the value farthest from 0 becomes -8 times the scale."""
    farthest = w.gather(-1, w.abs().argmax(-1, keepdim=True))
    scale = to_half(farthest / -8)
    inverse = torch.where(scale == 0, 0.0, 1 / scale)
    return (w * inverse + 8.5).floor().clamp(0, 15).sub(8) * scale


def q4_k(w: Tensor) -> Tensor:
    """llama.cpp's Q4_K: scales and minima of 6 bits under two 16-bit ones for 8 groups of 32.

    Found by our own search, which tries more than llama.cpp's; a width that is no multiple of 256 gets a last
    super-block of fewer groups, where llama.cpp would take a type of more bits.
    """
    scale, zero = search(w, None, lambda value: value)
    least = (8 * scale - zero).clamp_min(0)
    scale, least = (in_six_bits(values) for values in (scale, least))
    inverse = torch.where(scale == 0, 0.0, 1 / scale)
    return ((w + least) * inverse).round().clamp(0, 15) * scale - least


def in_six_bits(values: Tensor) -> Tensor:
    """[rows, groups, 1] as multiples 0 to 63 of a 16-bit step that 8 groups share."""
    rows, groups = values.shape[:2]
    padded = torch.nn.functional.pad(values.reshape(rows, groups), (0, -groups % 8)).reshape(rows, -1, 8)
    step = to_half(padded.amax(-1, keepdim=True) / 63)
    inverse = torch.where(step == 0, 0.0, 1 / step)
    held = (padded * inverse).round().clamp(0, 63) * step
    return held.reshape(rows, -1)[:, :groups, None]


def nf4(w: Tensor) -> Tensor:
    """NF4, the largest magnitude as the scale."""
    levels = torch.tensor(NF4, device=w.device)
    scale = w.abs().amax(-1, keepdim=True).clamp_min(1e-30)
    middles = (levels[1:] + levels[:-1]) / 2
    return levels[torch.bucketize(w / scale, middles)] * scale


def method(quantize: Callable[..., Weight], *, calibrated: bool = False) -> QuantizedMethod:
    """Of linear layers alone."""
    return with_head16(
        QuantizedMethod(
            description="",
            scheme="W4",
            group_size=None,
            quantize=quantize,
            matrix_bytes=lambda rows, columns: 0,
            calibrated=calibrated,
        )
    )


@dataclass(frozen=True)
class Calibrated:
    """A method that reads another number of tokens, of the text that ships or drawn."""

    method: Method
    tokens: int

    def load(self, source: ModelSource, settings: LoadSettings) -> Loaded:
        """With the extents of `calibrating` changed meanwhile."""
        extents = {name: getattr(calibrating, name) for name in ("OF_SQUARES", "OF_MOMENTS")}
        changed = {name: replace(extent, tokens=self.tokens) for name, extent in extents.items()}
        held = extents | {"DRAWN_TOKENS": calibrating.DRAWN_TOKENS}
        vars(calibrating).update(changed | {"DRAWN_TOKENS": self.tokens})
        try:
            return self.method.load(source, settings)
        finally:
            vars(calibrating).update(held)


def named(name: str) -> tuple[Method | Calibrated, float | None]:
    """A method of the product or of OTHERS, and its bits where they are not held.

    `mixed-gptq-head16@4.53` has a budget of bits that the product has no name for, `int4~2048` another number
    of tokens to calibrate on.
    """
    name, _, tokens = name.partition("~")
    name, _, bits = name.partition("@")
    if bits:
        method, shown = replace(MIXED[name], bits=float(bits)), None
    else:
        method, shown = OTHERS[name] if name in OTHERS else (METHODS[name], None)
    return (Calibrated(method, int(tokens)) if tokens else method), shown


OTHERS = {  # name -> (method, bits where it is held as floats)
    "rtn-g128": (method(partial(nearest, 128)), None),
    "rtn-g64": (method(partial(nearest, 64)), None),
    "rtn-g32": (method(partial(nearest, 32)), None),
    "search-g128": (method(partial(searched, 128, False)), None),
    "search-g128-cal": (method(partial(searched, 128, True), calibrated=True), None),
    "search-g64-cal": (method(partial(searched, 64, True), calibrated=True), None),
    "nf4-g64": (method(partial(rounded, 64, nf4)), 4.25),
    "q4_0": (method(partial(rounded, 32, q4_0)), 4.5),
    "q4_k-like": (method(partial(rounded, 32, q4_k)), 4.5),
}
