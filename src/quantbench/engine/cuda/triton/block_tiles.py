"""Device functions that read a tile of GGUF blocks: its codes, its scales, and the weights that they make.

A tile holds `SPAN` inputs of some rows, in their natural order; see `formats.block_rows` for what lies where.
Weights are computed in COMPUTE: float16 beside float16 activations, float32 beside others.
"""

from quantbench.engine.cuda.triton.block_unpack import higher_words, level_words
from quantbench.engine.cuda.triton.language import tl, triton
from quantbench.engine.cuda.triton.unpack import (
    in_halves,
    in_order,
    int8_words,
    nibble_words,
    scale_and_zero,
)


@triton.jit
def _higher_bits(
    high, n, span, total, SPAN: tl.constexpr, ROWS: tl.constexpr, BITS: tl.constexpr
):  # fmt: skip
    """int32 [ROWS, SPAN / 8]: for each word of nibbles that which has the bits above them, in place."""
    EACH: tl.constexpr = 4 // BITS  # words of nibbles a word serves
    WORDS: tl.constexpr = SPAN * BITS // 32
    row = n[:, None] * tl.multiple_of(total * BITS // 32, WORDS)
    bits = tl.load(high + row + tl.multiple_of(span * WORDS, WORDS) + tl.arange(0, WORDS)[None, :])
    each = tl.reshape(BITS * tl.arange(0, EACH), (1, 1, EACH))
    return tl.reshape(bits[:, :, None] >> each, (ROWS, SPAN // 8))


@triton.jit
def block_codes(
    codes, high, n, span, total, TYPE: tl.constexpr, SPAN: tl.constexpr, ROWS: tl.constexpr,
    ASSEMBLY: tl.constexpr,
):  # fmt: skip
    """float16 integers [ROWS, SPAN], less half of the codes where they have no sign."""
    WORDS: tl.constexpr = SPAN // 4 if TYPE == "Q8_0" else SPAN // 8
    HALF: tl.constexpr = SPAN // 2
    row = n[:, None] * tl.multiple_of(total * WORDS // SPAN, WORDS)
    words = tl.load(codes + row + tl.multiple_of(span * WORDS, WORDS) + tl.arange(0, WORDS)[None, :])
    if TYPE == "Q5_0" or TYPE == "Q5_1" or TYPE == "Q5_K":
        bits = _higher_bits(high, n, span, total, SPAN, ROWS, 1)
        a, b, c, d, p, q, r, s = higher_words(words, bits, 1, ASSEMBLY)
    elif TYPE == "Q6_K":
        bits = _higher_bits(high, n, span, total, SPAN, ROWS, 2)
        a, b, c, d, p, q, r, s = higher_words(words, bits, 3, ASSEMBLY)
    elif TYPE == "IQ4_NL":
        a, b, c, d, p, q, r, s = level_words(words, ASSEMBLY)
    elif TYPE == "Q8_0":
        a, b, c, d = int8_words(words, ASSEMBLY)
    else:
        a, b, c, d, p, q, r, s = nibble_words(words, ASSEMBLY)
    if TYPE == "Q8_0":  # what follows a return is compiled too: so there is one, at the end
        values = in_order(a, b, c, d, ROWS, SPAN, 64 if SPAN > 64 else SPAN)
    else:
        low, upper = in_order(a, b, c, d, ROWS, HALF, HALF), in_order(p, q, r, s, ROWS, HALF, HALF)
        values = in_halves(low, upper, ROWS, SPAN)
    return values


@triton.jit
def _packed_scales(scale, n, span, total):
    """Of Q4_K and Q5_K: float32 scales and minima [ROWS, 4] of half a block of 256."""
    at = scale + (n * (total // 64) + span // 2 * 4)
    d, m = scale_and_zero(tl.load(at))
    first, second, third = tl.load(at + 1), tl.load(at + 2), tl.load(at + 3)
    byte = (8 * tl.arange(0, 4))[None, :]
    one, two, rest = first[:, None] >> byte, second[:, None] >> byte, third[:, None] >> byte
    upper = span % 2 == 1
    step = tl.where(upper, (rest & 15) | ((one >> 2) & 48), one & 63)
    least = tl.where(upper, ((rest >> 4) & 15) | ((two >> 2) & 48), two & 63)
    return d.to(tl.float32)[:, None] * step.to(tl.float32), m.to(tl.float32)[:, None] * least.to(tl.float32)


@triton.jit
def _scales_of_16(scale, sub, n, span, total):
    """Of Q6_K: float32 [ROWS, 8] of half a block of 256."""
    group = tl.arange(0, 8)[None, :]
    steps = tl.load(scale + n[:, None] * tl.multiple_of(total // 16, 8) + (span * 8 + group))
    block = n * (total // 256) + span // 2
    if sub.dtype.element_ty == tl.int32:  # two of them, as less than four bytes cannot be fetched ahead
        pair = tl.load(sub + block // 2) >> ((block % 2) * 16).to(tl.int32)
        d = (pair & 0xFFFF).to(tl.int16).to(tl.float16, bitcast=True)
    else:
        d = tl.load(sub + block)
    return d.to(tl.float32)[:, None] * steps.to(tl.float32)


@triton.jit
def block_scales(scale, sub, n, span, total, TYPE: tl.constexpr, SPAN: tl.constexpr):
    """float32 [ROWS, groups]: scales, and what is added once codes less their half have been scaled."""
    GROUPS: tl.constexpr = SPAN // 32
    HALF: tl.constexpr = 16 if TYPE == "Q5_K" or TYPE == "Q5_1" else 8  # of the codes
    if TYPE == "Q4_K" or TYPE == "Q5_K":
        scales, least = _packed_scales(scale, n, span, total)
        added = HALF * scales - least
    elif TYPE == "Q6_K":
        scales = _scales_of_16(scale, sub, n, span, total)
        added = scales
    else:
        row = n[:, None] * tl.multiple_of(total // 32, GROUPS)
        held = tl.load(scale + row + tl.multiple_of(span * GROUPS, GROUPS) + tl.arange(0, GROUPS)[None, :])
        if TYPE == "Q4_1" or TYPE == "Q5_1":
            half, least = scale_and_zero(held)
            scales = half.to(tl.float32)
            added = HALF * scales + least.to(tl.float32)
        else:
            scales = held.to(tl.float32)
            added = scales
    return scales, added


@triton.jit
def block_tile(
    codes, scale, high, sub, n, span, total, TYPE: tl.constexpr, SPAN: tl.constexpr, ROWS: tl.constexpr,
    COMPUTE: tl.constexpr, ASSEMBLY: tl.constexpr,
):  # fmt: skip
    """Weights [ROWS, SPAN] of the rows n, int64 [ROWS], and the inputs from span * SPAN on, of `total`."""
    GROUP: tl.constexpr = 16 if TYPE == "Q6_K" else 32
    values = block_codes(codes, high, n, span, total, TYPE, SPAN, ROWS, ASSEMBLY)
    scales, added = block_scales(scale, sub, n, span, total, TYPE, SPAN)
    grouped = tl.reshape(values, (ROWS, SPAN // GROUP, GROUP)).to(COMPUTE)
    weights = grouped * scales.to(COMPUTE)[:, :, None]
    if TYPE == "Q4_1" or TYPE == "Q5_1" or TYPE == "Q4_K" or TYPE == "Q5_K":
        weights = weights + added.to(COMPUTE)[:, :, None]
    return tl.reshape(weights, (ROWS, SPAN))
