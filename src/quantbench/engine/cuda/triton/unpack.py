"""Device functions that turn packed weights into halves exactly: used inside other kernels.

A byte b is put behind the exponent of 1024, so that the half 0x64bb is 1024 + b; subtracting the offset
leaves the integer. That is two instructions for two weights, where conversions would take a slow one each.
A nibble in a byte's upper half is taken in place as 1024 + 16 n, and divided by 16 while the offset goes.
"""

from quantbench.engine.cuda.triton.language import tl, triton
from quantbench.weights.formats import GpuKind

FLOAT = tl.constexpr(int(GpuKind.FLOAT))
INT8 = tl.constexpr(int(GpuKind.INT8))
INT4 = tl.constexpr(int(GpuKind.INT4))
BLOCKS = tl.constexpr(int(GpuKind.BLOCKS))


@triton.jit
def int8_words(words, ASSEMBLY: tl.constexpr):
    """int32 of four int8 -> the integers of bytes 0, 2, 1, 3 in float16, exact."""
    if ASSEMBLY:
        a, b, c, d = tl.inline_asm_elementwise(
            """
            {
            .reg .b32 biased, even, odd, offset;
            xor.b32 biased, $4, 0x80808080;
            mov.b32 offset, 0x64806480;
            prmt.b32 even, biased, 0x64646464, 0x4240;
            prmt.b32 odd, biased, 0x64646464, 0x4341;
            sub.f16x2 even, even, offset;
            sub.f16x2 odd, odd, offset;
            mov.b32 {$0, $1}, even;
            mov.b32 {$2, $3}, odd;
            }
            """,
            "=h,=h,=h,=h,r",
            [words],
            dtype=(tl.float16, tl.float16, tl.float16, tl.float16),
            is_pure=True,
            pack=1,
        )
    else:
        a, b = ((words << 24) >> 24).to(tl.float16), ((words << 8) >> 24).to(tl.float16)
        c, d = ((words << 16) >> 24).to(tl.float16), (words >> 24).to(tl.float16)
    return a, b, c, d


@triton.jit
def nibble_words(words, ASSEMBLY: tl.constexpr):
    """int32 of four bytes -> the low nibbles of bytes 0, 2, 1, 3, then the high ones, each - 8, float16."""
    if ASSEMBLY:
        a, b, c, d, e, f, g, h = tl.inline_asm_elementwise(
            """
            {
            .reg .b32 odd, x, magic, offset, sixteenth, higher;
            shr.u32 odd, $8, 8;
            mov.b32 magic, 0x64006400;
            mov.b32 offset, 0x64086408;
            mov.b32 sixteenth, 0x2C002C00;
            mov.b32 higher, 0xD480D480;
            lop3.b32 x, $8, 0x000F000F, magic, 0xEA;
            sub.f16x2 x, x, offset;
            mov.b32 {$0, $1}, x;
            lop3.b32 x, odd, 0x000F000F, magic, 0xEA;
            sub.f16x2 x, x, offset;
            mov.b32 {$2, $3}, x;
            lop3.b32 x, $8, 0x00F000F0, magic, 0xEA;
            fma.rn.f16x2 x, x, sixteenth, higher;
            mov.b32 {$4, $5}, x;
            lop3.b32 x, odd, 0x00F000F0, magic, 0xEA;
            fma.rn.f16x2 x, x, sixteenth, higher;
            mov.b32 {$6, $7}, x;
            }
            """,
            "=h,=h,=h,=h,=h,=h,=h,=h,r",
            [words],
            dtype=(
                tl.float16, tl.float16, tl.float16, tl.float16, tl.float16, tl.float16, tl.float16, tl.float16
            ),
            is_pure=True,
            pack=1,
        )  # fmt: skip
    else:
        a, b = ((words & 15) - 8).to(tl.float16), (((words >> 16) & 15) - 8).to(tl.float16)
        c, d = (((words >> 8) & 15) - 8).to(tl.float16), (((words >> 24) & 15) - 8).to(tl.float16)
        e, f = (((words >> 4) & 15) - 8).to(tl.float16), (((words >> 20) & 15) - 8).to(tl.float16)
        g, h = (((words >> 12) & 15) - 8).to(tl.float16), (((words >> 28) & 15) - 8).to(tl.float16)
    return a, b, c, d, e, f, g, h


@triton.jit
def in_order(a, b, c, d, ROWS: tl.constexpr, INPUTS: tl.constexpr, RUN: tl.constexpr):
    """Weights [ROWS, INPUTS / 4] of bytes 0, 2, 1, 3 of each word -> [ROWS, INPUTS] in the order of RUN.

    Only names change: a thread keeps the words that it fetched.
    """
    halves = tl.join(tl.join(a, b), tl.join(c, d))  # row, word, b, h; see `order`
    parts = tl.reshape(halves, (ROWS, INPUTS // RUN, 4, RUN // 16, 2, 2))  # row, run, c, v, b, h
    return tl.reshape(tl.permute(parts, (0, 1, 3, 5, 2, 4)), (ROWS, INPUTS))


@triton.jit
def in_halves(low, high, ROWS: tl.constexpr, INPUTS: tl.constexpr):
    """[ROWS, INPUTS / 2] twice -> [ROWS, INPUTS], one behind the other; only names change."""
    return tl.reshape(tl.permute(tl.join(low, high), (0, 2, 1)), (ROWS, INPUTS))


@triton.jit
def settled(acc, ASSEMBLY: tl.constexpr):
    """acc as it is, once the tensor cores have written it.

    They read weights from registers while the code goes on, and Triton (3.6, its issue 9433) lets the next
    round's weights be written there too early. What looks like a use of the sums makes it wait.
    """
    if ASSEMBLY:
        acc = tl.inline_asm_elementwise(
            "mov.b32 $0, $1;", "=r,r", [acc], dtype=tl.float32, is_pure=True, pack=1
        )
    return acc


@triton.jit
def scale_and_zero(affine):
    """int32 words of a 4-bit row -> float16 scale (low half) and zero (high half)."""
    scale = (affine & 0xFFFF).to(tl.int16).to(tl.float16, bitcast=True)
    zero = (affine >> 16).to(tl.int16).to(tl.float16, bitcast=True)
    return scale, zero


@triton.jit
def pair_affine(affine):
    """int32 words of a row with double quantization -> float16 steps and zeros: low, low, high, high, exact.

    Steps and zeros are integers; the row's scale comes last.
    """
    step, zero = (affine & 0xFF).to(tl.float16), (((affine >> 8) & 0xFF) - 128) * 16
    more_step, more_zero = ((affine >> 16) & 0xFF).to(tl.float16), (((affine >> 24) & 0xFF) - 128) * 16
    return step, zero.to(tl.float16), more_step, more_zero.to(tl.float16)


@triton.jit
def affine_of(affine, DOUBLE: tl.constexpr):
    """float16 scale and zero of the low nibbles, then of the high ones."""
    if DOUBLE:
        scale, zero, more_scale, more_zero = pair_affine(affine)
    else:
        scale, zero = scale_and_zero(affine)
        more_scale, more_zero = scale, zero
    return scale, zero, more_scale, more_zero
