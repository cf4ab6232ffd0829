"""Device functions that turn packed weights into halves exactly: used inside other kernels.

A byte b is put behind the exponent of 1024, so that the half 0x64bb is 1024 + b; subtracting the offset
leaves the integer. That is two instructions for two weights, where conversions would take a slow one each.
"""

from quantbench.engine.kernels.triton_or_not import tl, triton

FLOAT = tl.constexpr(0)
INT8 = tl.constexpr(1)
INT4 = tl.constexpr(2)


@triton.jit
def int8_to_half(q, ASSEMBLY: tl.constexpr):
    """int8 of any shape -> the same integers in float16, exact."""
    if ASSEMBLY:
        half = tl.inline_asm_elementwise(
            """
            {
            .reg .b32 biased, low, high, offset;
            xor.b32 biased, $2, 0x80808080;
            mov.b32 offset, 0x64806480;
            prmt.b32 low, biased, 0x64646464, 0x4140;
            prmt.b32 high, biased, 0x64646464, 0x4342;
            sub.f16x2 $0, low, offset;
            sub.f16x2 $1, high, offset;
            }
            """,
            "=r,=r,r",
            [q],
            dtype=tl.float16,
            is_pure=True,
            pack=4,
        )
    else:
        half = q.to(tl.float16)
    return half


@triton.jit
def nibbles_to_halves(packed, ASSEMBLY: tl.constexpr):
    """uint8 of any shape -> (low nibble - 8, high nibble - 8) in float16, exact."""
    if ASSEMBLY:
        low, high = tl.inline_asm_elementwise(
            """
            {
            .reg .b32 even, odd, x, offset;
            mov.b32 offset, 0x64086408;
            and.b32 even, $4, 0x0F0F0F0F;
            shr.u32 odd, $4, 4;
            and.b32 odd, odd, 0x0F0F0F0F;
            prmt.b32 x, even, 0x64646464, 0x4140;
            sub.f16x2 $0, x, offset;
            prmt.b32 x, even, 0x64646464, 0x4342;
            sub.f16x2 $1, x, offset;
            prmt.b32 x, odd, 0x64646464, 0x4140;
            sub.f16x2 $2, x, offset;
            prmt.b32 x, odd, 0x64646464, 0x4342;
            sub.f16x2 $3, x, offset;
            }
            """,
            "=r,=r,=r,=r,r",
            [packed],
            dtype=(tl.float16, tl.float16),
            is_pure=True,
            pack=4,
        )
    else:
        low = ((packed & 15).to(tl.int32) - 8).to(tl.float16)
        high = ((packed >> 4).to(tl.int32) - 8).to(tl.float16)
    return low, high


@triton.jit
def scale_and_zero(affine):
    """int32 words of a 4-bit row -> float16 scale (low half) and zero (high half)."""
    scale = (affine & 0xFFFF).to(tl.int16).to(tl.float16, bitcast=True)
    zero = (affine >> 16).to(tl.int16).to(tl.float16, bitcast=True)
    return scale, zero
