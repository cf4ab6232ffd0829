"""Device functions for keys and values in 8 bits, inside other kernels; reference: `engine.kv_format`.

CODES is a format's number there, 0 for activations. A head's codes go with one scale; both halves of a head
are at hand separately, as rotation leaves them.
"""

from functools import cache

import torch

from quantbench.engine.cuda.triton.language import tl, triton
from quantbench.engine.cuda.triton.launch import interpreted
from quantbench.engine.kv_format import KV_CODES, LEAST, codes_in
from quantbench.settings import KvFormat

INT8 = tl.constexpr(KV_CODES[KvFormat.INT8].number)
SMALLEST = tl.constexpr(LEAST)
ROUNDS = tl.constexpr(12582912.0)  # 1.5 * 2^23: adding it and taking it off rounds to an integer


@cache
def has_conversions(device: torch.device) -> bool:
    """Whether the device has instructions for fp8: compute capability 8.9 and later."""
    return not interpreted() and device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 9)


def codes_number(dtype: torch.dtype) -> int:
    """CODES of a cache of this type."""
    codes = codes_in(dtype)
    return 0 if codes is None else codes.number


@triton.jit
def greatest_code(CODES: tl.constexpr):
    """As a float; 1 for activations."""
    GREATEST: tl.constexpr = 1.0 if CODES == 0 else (127.0 if CODES == INT8 else 448.0)
    return GREATEST


# each has one return: the compiler goes on behind a return within an `if`


@triton.jit
def code_of(x, CODES: tl.constexpr):
    """float32 of at most the greatest code -> the nearest code."""
    if CODES == INT8:
        code = (x + ROUNDS - ROUNDS).to(tl.int32).to(tl.int8)
    else:
        size = tl.abs(x)
        bits = size.to(tl.int32, bitcast=True)
        normal = ((bits + 0x7FFFF + ((bits >> 20) & 1)) >> 20) - 960  # four significant bits, another bias
        small = (size * 512.0 + ROUNDS - ROUNDS).to(tl.int32)  # steps of 2^-9 below 2^-6
        size_code = tl.where(size < 0.015625, small, normal) & 0x7F
        code = (size_code | tl.where(x < 0, 0x80, 0)).to(tl.uint8)
    return code


@triton.jit
def value_of(codes, KIND: tl.constexpr, CODES: tl.constexpr, NATIVE: tl.constexpr):
    """Codes as KIND, exact, over their scale. NATIVE: see `has_conversions`."""
    if CODES == INT8 and NATIVE:
        value = byte_halves(codes)
    elif CODES == INT8:
        value = codes
    elif NATIVE:
        value = codes.to(tl.float8e4nv, bitcast=True).to(tl.float16)
    else:
        bits = codes.to(tl.int32)
        half = (((bits & 0x7F) << 7) | ((bits & 0x80) << 8)).to(tl.uint16).to(tl.float16, bitcast=True)
        value = half.to(tl.float32) * 256.0
    return value.to(KIND)


@triton.jit
def byte_halves(codes):
    """int8 as float16: a byte under the exponent of 1024, two at a time; conversions are slow."""
    return tl.inline_asm_elementwise(
        """
        {
        .reg .b32 raised, offset;
        xor.b32 raised, $2, 0x80808080;
        mov.b32 offset, 0x64806480;
        prmt.b32 $0, raised, 0x64646464, 0x4140;
        prmt.b32 $1, raised, 0x64646464, 0x4342;
        sub.f16x2 $0, $0, offset;
        sub.f16x2 $1, $1, offset;
        }
        """,
        "=&r,=&r,r",
        [codes],
        dtype=tl.float16,
        is_pure=True,
        pack=4,
    )


@triton.jit
def coded(a, b, AXIS: tl.constexpr, CODES: tl.constexpr):
    """Two halves of heads, float32 -> their codes, and the heads' scales along the other axis."""
    top = tl.maximum(tl.max(tl.abs(a), axis=AXIS), tl.max(tl.abs(b), axis=AXIS))
    top = tl.maximum(top, SMALLEST) + tl.sum(a * 0.0 + b * 0.0, axis=AXIS)  # NaN where one is not finite
    greatest = greatest_code(CODES)
    factor = greatest / top
    if AXIS == 1:
        factor = factor[:, None]
    return code_of(a * factor, CODES), code_of(b * factor, CODES), top / greatest


@triton.jit
def as_read(codes, scale, KIND: tl.constexpr, CODES: tl.constexpr):
    """What later tokens see of an element, in the activations' type."""
    return (value_of(codes, tl.float32, CODES, False) * scale).to(KIND)


@triton.jit
def smoothed(x, offset, inside, BEHIND: tl.constexpr):
    """Rotated heads, float32, less their offset, times their factors BEHIND that: `engine.key_smoothing`."""
    less = x - tl.load(offset, mask=inside, other=0.0)
    return less * tl.load(offset + BEHIND, mask=inside, other=0.0)
