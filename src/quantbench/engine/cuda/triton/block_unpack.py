"""Device functions that turn words of GGUF codes into halves exactly: nibbles with higher bits, and levels.

As in `unpack`, a code is put behind the exponent of 1024 and the offset subtracted; what a nibble lacks is
put in beside it first. `block_rows` says where the bits lie.
"""

from quantbench.engine.cuda.triton.language import tl, triton


def _higher_assembly(mask: int, offset: int) -> str:
    """PTX: nibbles of $8 with the bits of `mask` in $9 above them, less the offset."""
    low, high = mask << 4 | mask << 20, mask << 8 | mask << 24
    halves = (0x6400 + offset) * 0x10001  # 1024 + offset, twice
    sixteenths = (0xD400 + 16 * offset) * 0x10001  # -(64 + offset), twice, for offsets below 64
    return f"""
    {{
    .reg .b32 odd, bits, x, magic, offset, sixteenth, higher;
    shr.u32 odd, $8, 8;
    mov.b32 magic, 0x64006400;
    mov.b32 offset, {halves:#010x};
    mov.b32 sixteenth, 0x2C002C00;
    mov.b32 higher, {sixteenths:#010x};
    shl.b32 bits, $9, 4;
    lop3.b32 x, $8, 0x000F000F, magic, 0xEA;
    lop3.b32 x, bits, {low:#010x}, x, 0xEA;
    sub.f16x2 x, x, offset;
    mov.b32 {{$0, $1}}, x;
    lop3.b32 x, odd, 0x000F000F, magic, 0xEA;
    lop3.b32 x, $9, {low:#010x}, x, 0xEA;
    sub.f16x2 x, x, offset;
    mov.b32 {{$2, $3}}, x;
    lop3.b32 x, $8, 0x00F000F0, magic, 0xEA;
    lop3.b32 x, $9, {high:#010x}, x, 0xEA;
    fma.rn.f16x2 x, x, sixteenth, higher;
    mov.b32 {{$4, $5}}, x;
    shr.u32 bits, $9, 4;
    lop3.b32 x, odd, 0x00F000F0, magic, 0xEA;
    lop3.b32 x, bits, {high:#010x}, x, 0xEA;
    fma.rn.f16x2 x, x, sixteenth, higher;
    mov.b32 {{$6, $7}}, x;
    }}
    """


FIVE = tl.constexpr(_higher_assembly(1, 16))
SIX = tl.constexpr(_higher_assembly(3, 32))
LEVELS = tl.constexpr(
    """
    {
    .reg .b32 which, upper, a, b, c, d, low, high, x, offset;
    mov.b32 a, 0x3F2D1801;
    mov.b32 b, 0x766A5D4F;
    mov.b32 c, 0xA6998D81;
    mov.b32 d, 0xF1D9C5B5;
    mov.b32 offset, 0x64806480;
    and.b32 which, $8, 0x77777777;
    and.b32 upper, $8, 0x88888888;
    shr.u32 upper, upper, 1;
    or.b32 upper, upper, 0x32103210;
    prmt.b32 low, a, b, which;
    prmt.b32 high, c, d, which;
    prmt.b32 low, low, high, upper;
    prmt.b32 x, low, 0x64646464, 0x4240;
    sub.f16x2 x, x, offset;
    mov.b32 {$0, $1}, x;
    prmt.b32 x, low, 0x64646464, 0x4341;
    sub.f16x2 x, x, offset;
    mov.b32 {$2, $3}, x;
    shr.u32 which, which, 16;
    shr.u32 upper, upper, 16;
    prmt.b32 low, a, b, which;
    prmt.b32 high, c, d, which;
    prmt.b32 low, low, high, upper;
    prmt.b32 x, low, 0x64646464, 0x4240;
    sub.f16x2 x, x, offset;
    mov.b32 {$4, $5}, x;
    prmt.b32 x, low, 0x64646464, 0x4341;
    sub.f16x2 x, x, offset;
    mov.b32 {$6, $7}, x;
    }
    """
)


@triton.jit
def _higher(words, bits, shift: tl.constexpr, at: tl.constexpr, MASK: tl.constexpr):
    """The nibble of a word at `shift` with the bits at `at` above it, less half of all codes, float16."""
    return (((words >> shift) & 15) + (((bits >> at) & MASK) << 4) - 8 * (MASK + 1)).to(tl.float16)


@triton.jit
def higher_words(words, bits, MASK: tl.constexpr, ASSEMBLY: tl.constexpr):
    """int32 words of nibbles, and of the bits (1 or 3 a code) above them -> codes as `nibble_words` has them.

    Less 16 with one bit more, less 32 with two.
    """
    if ASSEMBLY:
        a, b, c, d, e, f, g, h = tl.inline_asm_elementwise(
            FIVE if MASK == 1 else SIX,
            "=h,=h,=h,=h,=h,=h,=h,=h,r,r",
            [words, bits],
            dtype=(
                tl.float16, tl.float16, tl.float16, tl.float16, tl.float16, tl.float16, tl.float16, tl.float16
            ),
            is_pure=True,
            pack=1,
        )  # fmt: skip
    else:
        a, b = _higher(words, bits, 0, 0, MASK), _higher(words, bits, 16, 16, MASK)
        c, d = _higher(words, bits, 8, 4, MASK), _higher(words, bits, 24, 20, MASK)
        e, f = _higher(words, bits, 4, 8, MASK), _higher(words, bits, 20, 24, MASK)
        g, h = _higher(words, bits, 12, 12, MASK), _higher(words, bits, 28, 28, MASK)
    return a, b, c, d, e, f, g, h


@triton.jit
def _level(words, shift: tl.constexpr):
    """IQ4_NL's level of the nibble at `shift`, float16."""
    which = (words >> shift) & 15
    low = tl.where(which < 4, 0x3F2D1801, 0x766A5D4F)
    high = tl.where(which < 12, 0xA6998D81 - 0x100000000, 0xF1D9C5B5 - 0x100000000)  # as signed numbers
    four = tl.where(which < 8, low, high).to(tl.int32)
    return (((four >> (8 * (which & 3))) & 255) - 128).to(tl.float16)


@triton.jit
def level_words(words, ASSEMBLY: tl.constexpr):
    """int32 of eight nibbles -> the levels of nibbles 0, 2, 1, 3, then 4, 6, 5, 7, float16."""
    if ASSEMBLY:
        a, b, c, d, e, f, g, h = tl.inline_asm_elementwise(
            LEVELS,
            "=h,=h,=h,=h,=h,=h,=h,=h,r",
            [words],
            dtype=(
                tl.float16, tl.float16, tl.float16, tl.float16, tl.float16, tl.float16, tl.float16, tl.float16
            ),
            is_pure=True,
            pack=1,
        )  # fmt: skip
    else:
        a, b, c, d = _level(words, 0), _level(words, 8), _level(words, 4), _level(words, 12)
        e, f, g, h = _level(words, 16), _level(words, 24), _level(words, 20), _level(words, 28)
    return a, b, c, d, e, f, g, h
