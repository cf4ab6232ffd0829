"""Device functions that sum a slice of inputs for a tile of weights and tokens: the loops of `tiled_linear`.

The weight tile is the left operand, so packed weights go from shared memory through registers straight into
the tensor cores. Tokens come in the order that the matrix wants its inputs in (`interleave`); GGUF blocks
want the natural one. Sums run over the
inputs in one fixed order, whatever the tile.
"""

from quantbench.engine.cuda.triton.block_tiles import block_tile
from quantbench.engine.cuda.triton.language import tl, triton
from quantbench.engine.cuda.triton.prefetch import prefetch
from quantbench.engine.cuda.triton.unpack import (
    BLOCKS,
    FLOAT,
    INT8,
    affine_of,
    in_halves,
    in_order,
    int8_words,
    nibble_words,
    settled,
)


@triton.jit
def tokens_at(x, token, rows, x_stride, k, TOKENS: tl.constexpr):
    """Pointers [inputs, TOKENS] to inputs `k` of the tokens from `token` on, and which of them there are.

    Missing ones are to be masked: loads of one row in their place would all meet at one bank of the L2.
    """
    tokens = token + tl.arange(0, TOKENS)
    return x + tokens[None, :].to(tl.int64) * x_stride + k[:, None], (tokens < rows)[None, :]


@triton.jit
def in_groups(weights, scale, first, GROUP: tl.constexpr, ROWS: tl.constexpr, INPUTS: tl.constexpr):
    """Bytes [ROWS, INPUTS] times their groups' scales, from that of input `first` on; unchanged without.

    scale: pointers to the scales of each row. A round is a part of a group or whole groups.
    """
    if GROUP:
        if INPUTS <= GROUP:
            weights = weights * tl.load(scale + first // GROUP)[:, None]
        else:
            scales = tl.load(scale[:, None] + first // GROUP + tl.arange(0, INPUTS // GROUP)[None, :])
            grouped = tl.reshape(weights, (ROWS, INPUTS // GROUP, GROUP)) * scales[:, :, None]
            weights = tl.reshape(grouped, (ROWS, INPUTS))
    return weights


@triton.jit
def sum_float(
    acc, more, w, scale, x, n, token, rows, start, inputs, w_stride, x_stride, total,
    GROUP: tl.constexpr, ROWS: tl.constexpr, TOKENS: tl.constexpr, MORE: tl.constexpr, INPUTS: tl.constexpr,
    EVEN: tl.constexpr, ASSEMBLY: tl.constexpr,
):  # fmt: skip
    """acc [ROWS, TOKENS] and more [ROWS, MORE] += weights (float, or bytes one by one) times x."""
    k = tl.arange(0, INPUTS)
    w_at = w + n[:, None] * w_stride + (start + k)[None, :]
    near_at, near_there = tokens_at(x, token, rows, x_stride, start + k, TOKENS)
    far_at, far_there = tokens_at(x, token + TOKENS, rows, x_stride, start + k, MORE if MORE else 16)
    for done in range(0, inputs, INPUTS):
        if EVEN:
            weights = tl.load(w_at)
            tokens = tl.load(near_at, mask=near_there, other=0.0)
        else:
            inside = k < inputs - done
            weights = tl.load(w_at, mask=inside[None, :], other=0)
            tokens = tl.load(near_at, mask=near_there & inside[:, None], other=0.0)
        if GROUP:
            weights = in_groups(weights.to(tl.float16), scale, start + done, GROUP, ROWS, INPUTS)
        weights = weights.to(tokens.dtype)
        acc = tl.dot(weights, tokens, acc)
        if MORE:
            if EVEN:
                tokens = tl.load(far_at, mask=far_there, other=0.0)
            else:
                tokens = tl.load(far_at, mask=far_there & inside[:, None], other=0.0)
            more = tl.dot(weights, tokens, more)
            far_at += INPUTS
        if w.dtype.element_ty != x.dtype.element_ty:
            acc = settled(acc, ASSEMBLY)
            if MORE:
                more = settled(more, ASSEMBLY)
        w_at += INPUTS
        near_at += INPUTS
    return acc, more


@triton.jit
def sum_int8(
    acc, more, words, scale, x, n, token, rows, start, inputs, row_words, x_stride, total,
    GROUP: tl.constexpr, ROWS: tl.constexpr, TOKENS: tl.constexpr, MORE: tl.constexpr, INPUTS: tl.constexpr,
    EVEN: tl.constexpr, RUN: tl.constexpr, ASSEMBLY: tl.constexpr,
):  # fmt: skip
    """The same with int32 words of four int8, without the scale of a row; a group's is multiplied in."""
    k = tl.arange(0, INPUTS)
    e = tl.arange(0, INPUTS // 4)
    w_at = words + n[:, None] * row_words + (start // 4 + e)[None, :]
    near_at, near_there = tokens_at(x, token, rows, x_stride, start + k, TOKENS)
    far_at, far_there = tokens_at(x, token + TOKENS, rows, x_stride, start + k, MORE if MORE else 16)
    for done in range(0, inputs, INPUTS):
        if EVEN:
            packed = tl.load(w_at)
            tokens = tl.load(near_at, mask=near_there, other=0.0)
        else:
            packed = tl.load(w_at, mask=(4 * e < inputs - done)[None, :], other=0)
            inside = (k < inputs - done)[:, None]
            tokens = tl.load(near_at, mask=near_there & inside, other=0.0)
        a, b, c, d = int8_words(packed, ASSEMBLY)
        weights = in_order(a, b, c, d, ROWS, INPUTS, RUN)
        weights = in_groups(weights, scale, start + done, GROUP, ROWS, INPUTS).to(tokens.dtype)
        acc = tl.dot(weights, tokens, acc)
        if MORE:
            if EVEN:
                tokens = tl.load(far_at, mask=far_there, other=0.0)
            else:
                tokens = tl.load(far_at, mask=far_there & inside, other=0.0)
            more = settled(tl.dot(weights, tokens, more), ASSEMBLY)
            far_at += INPUTS
        acc = settled(acc, ASSEMBLY)
        w_at += INPUTS // 4
        near_at += INPUTS
    return acc, more


@triton.jit
def with_affine(
    low, high, affine, GROUP: tl.constexpr, DOUBLE: tl.constexpr, ROWS: tl.constexpr, HALF: tl.constexpr
):  # fmt: skip
    """Nibbles [ROWS, HALF] of one group, or the halves of several after each other, with scales and zeros.

    affine: pointers to those of each row's first group.
    """
    if HALF * 2 <= GROUP:
        scale, zero, more_scale, more_zero = affine_of(tl.load(affine), DOUBLE)
        low = low * scale[:, None] + zero[:, None]
        high = high * more_scale[:, None] + more_zero[:, None]
    else:
        COUNT: tl.constexpr = HALF * 2 // GROUP
        held = tl.load(affine[:, None] + tl.arange(0, COUNT)[None, :])
        scale, zero, more_scale, more_zero = affine_of(held, DOUBLE)
        low = tl.reshape(low, (ROWS, COUNT, GROUP // 2)) * scale[:, :, None] + zero[:, :, None]
        high = tl.reshape(high, (ROWS, COUNT, GROUP // 2)) * more_scale[:, :, None] + more_zero[:, :, None]
        low, high = tl.reshape(low, (ROWS, HALF)), tl.reshape(high, (ROWS, HALF))
    return low, high


@triton.jit
def group_by_group(low, high, GROUP: tl.constexpr, ROWS: tl.constexpr, INPUTS: tl.constexpr):
    """[ROWS, INPUTS / 2] twice -> [ROWS, INPUTS], of each group its low nibbles, then its high ones."""
    if INPUTS == GROUP:
        weights = in_halves(low, high, ROWS, INPUTS)
    else:
        low = tl.reshape(low, (ROWS, INPUTS // GROUP, GROUP // 2))
        high = tl.reshape(high, (ROWS, INPUTS // GROUP, GROUP // 2))
        weights = tl.reshape(tl.permute(tl.join(low, high), (0, 1, 3, 2)), (ROWS, INPUTS))
    return weights


@triton.jit
def sum_int4(
    acc, more, words, x, n, token, rows, start, inputs, row_words, x_stride, total,
    GROUP: tl.constexpr, DOUBLE: tl.constexpr, ROWS: tl.constexpr, TOKENS: tl.constexpr, MORE: tl.constexpr,
    INPUTS: tl.constexpr, RUN: tl.constexpr, ASSEMBLY: tl.constexpr,
):  # fmt: skip
    """The same with `Int4Rows`, or, DOUBLE, `Int4DoubleRows` without scales: nibbles meet two slices of x."""
    HALF: tl.constexpr = INPUTS // 2
    APART: tl.constexpr = GROUP // 2
    e = tl.arange(0, HALF)
    w_at = words + n[:, None] * row_words + (start // 8 + tl.arange(0, HALF // 4))[None, :]
    affine_at = words + n * row_words + total // 8
    FAR: tl.constexpr = MORE if MORE else 16
    near_at, near_there = tokens_at(x, token, rows, x_stride, e, TOKENS)
    far_at, far_there = tokens_at(x, token + TOKENS, rows, x_stride, e, FAR)
    near_all, _ = tokens_at(x, token, rows, x_stride, tl.arange(0, INPUTS), TOKENS)
    far_all, _ = tokens_at(x, token + TOKENS, rows, x_stride, tl.arange(0, INPUTS), FAR)
    for done in range(0, inputs, INPUTS):
        byte, group = (start + done) // 2, (start + done) // GROUP
        first = tl.multiple_of(group * GROUP + byte % APART, HALF)
        a, b, c, d, p, q, r, s = nibble_words(tl.load(w_at), ASSEMBLY)
        low, high = in_order(a, b, c, d, ROWS, HALF, RUN), in_order(p, q, r, s, ROWS, HALF, RUN)
        low, high = with_affine(low, high, affine_at + group, GROUP, DOUBLE, ROWS, HALF)
        low, high = low.to(x.dtype.element_ty), high.to(x.dtype.element_ty)
        if INPUTS >= GROUP:  # whole groups: all slices of x are one
            weights = group_by_group(low, high, GROUP, ROWS, INPUTS)
            acc = tl.dot(weights, tl.load(near_all + first, mask=near_there, other=0.0), acc)
            if MORE:
                more = tl.dot(weights, tl.load(far_all + first, mask=far_there, other=0.0), more)
        else:
            acc = tl.dot(low, tl.load(near_at + first, mask=near_there, other=0.0), acc)
            acc = tl.dot(high, tl.load(near_at + first + APART, mask=near_there, other=0.0), acc)
            if MORE:
                more = tl.dot(low, tl.load(far_at + first, mask=far_there, other=0.0), more)
                more = tl.dot(high, tl.load(far_at + first + APART, mask=far_there, other=0.0), more)
        acc = settled(acc, ASSEMBLY)
        if MORE:
            more = settled(more, ASSEMBLY)
        w_at += HALF // 4
    return acc, more


@triton.jit
def sum_blocks(
    acc, more, codes, scale, high, sub, x, n, token, rows, start, inputs, x_stride, total,
    TYPE: tl.constexpr, ROWS: tl.constexpr, TOKENS: tl.constexpr, MORE: tl.constexpr, SPAN: tl.constexpr,
    ASSEMBLY: tl.constexpr,
):  # fmt: skip
    """The same with GGUF blocks as `BlockRows` holds them."""
    COMPUTE: tl.constexpr = tl.float16 if x.dtype.element_ty == tl.float16 else tl.float32
    k = tl.arange(0, SPAN)
    near_at, near_there = tokens_at(x, token, rows, x_stride, start + k, TOKENS)
    far_at, far_there = tokens_at(x, token + TOKENS, rows, x_stride, start + k, MORE if MORE else 16)
    for done in range(0, inputs, SPAN):
        span = (start + done) // SPAN
        weights = block_tile(
            codes, scale, high, sub, n, span, total, TYPE, SPAN, ROWS, COMPUTE, ASSEMBLY
        ).to(x.dtype.element_ty)  # fmt: skip
        acc = tl.dot(weights, tl.load(near_at, mask=near_there, other=0.0), acc)
        if MORE:
            more = tl.dot(weights, tl.load(far_at, mask=far_there, other=0.0), more)
            more = settled(more, ASSEMBLY)
            far_at += SPAN
        acc = settled(acc, ASSEMBLY)
        near_at += SPAN
    return acc, more


@triton.jit
def prefetch_rows(
    w, n, start, inputs, w_stride, total, SCHEME: tl.constexpr, RUN: tl.constexpr, BYTES: tl.constexpr,
    ROWS: tl.constexpr,
):  # fmt: skip
    """Ask for a tile's slice of inputs, and for the scales behind 4-bit rows; BYTES: codes of blocks are."""
    same = n.to(tl.int32) * 0
    if SCHEME == FLOAT:
        prefetch(w + n * w_stride + start, inputs * 2 + same, ROWS)
    elif SCHEME == INT8:
        prefetch(w + n * w_stride + (start // 4 if RUN > 1 else start), inputs + same, ROWS)
    elif SCHEME == BLOCKS:
        words = start // 4 if BYTES else start // 8
        prefetch(w + n * w_stride + words, (inputs if BYTES else inputs // 2) + same, ROWS)
    else:
        prefetch(w + n * w_stride + start // 8, inputs // 2 + same, ROWS)
        scales = tl.where(inputs > 0, w_stride * 4 - total // 2, 0)
        prefetch(w + n * w_stride + total // 8, scales + same, ROWS)
