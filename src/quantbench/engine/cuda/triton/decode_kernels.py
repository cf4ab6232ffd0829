"""The two kernels of `decode_attention`, and the device functions that they are made of.

One block takes one key-value head of one row with all query heads that share it, for one chunk of the
context; contexts longer than a chunk are combined by a second kernel.
"""

from quantbench.engine.cuda.triton.interleave import place_of
from quantbench.engine.cuda.triton.kv_cells import as_read, coded, greatest_code, smoothed, value_of
from quantbench.engine.cuda.triton.language import gdc_launch_dependents, gdc_wait, tl, triton
from quantbench.engine.cuda.triton.prefetch import prefetch
from quantbench.engine.cuda.triton.softmax import capped, softmax_step


@triton.jit
def _rotated(at, norm, cos, sin, i, inside, span: tl.constexpr, eps, HALF: tl.constexpr, NORM: tl.constexpr):
    """The two halves of heads at `at` [.., HALF], normalised when asked, rotated; float32."""
    a = tl.load(at, mask=inside, other=0.0).to(tl.float32)
    b = tl.load(at + HALF, mask=inside, other=0.0).to(tl.float32)
    if NORM:
        scale = tl.rsqrt((tl.sum(a * a, axis=span) + tl.sum(b * b, axis=span)) / (2 * HALF) + eps)
        if span == 1:
            scale = scale[:, None]
        a = a * scale * tl.load(norm + i, mask=i < HALF, other=0.0).to(tl.float32)
        b = b * scale * tl.load(norm + HALF + i, mask=i < HALF, other=0.0).to(tl.float32)
    return a * cos - b * sin, b * cos + a * sin


@triton.jit
def _ask_ahead(
    positions, keys, values, row, chunk, base, capacity, DIM: tl.constexpr, CHUNK: tl.constexpr,
    BYTES: tl.constexpr,
):  # fmt: skip
    """Fetch a chunk's cached keys and values while the kernel before still runs: they do not depend on it.

    A position that it has yet to write only misleads the hint.
    """
    ahead = tl.minimum(tl.maximum(tl.load(positions + row), 0), capacity) - chunk * CHUNK
    old = base + chunk * CHUNK * DIM
    size = tl.minimum(ahead, CHUNK) * (DIM * BYTES)
    prefetch(keys + old, size, 1)
    prefetch(values + old, size, 1)


@triton.jit
def _over_cached(
    q_a, q_b, keys, values, key_scales, value_scales, base, begin, end, first, scale, cap, extreme, total,
    acc, HALF: tl.constexpr, PAD_HALF: tl.constexpr, PAD_DIM: tl.constexpr, BLOCK: tl.constexpr,
    CAP: tl.constexpr, CODES: tl.constexpr, NATIVE: tl.constexpr,
):  # fmt: skip
    """The softmax's state (highest score, sum of weights, weighted values) after the cached positions."""
    DIM: tl.constexpr = 2 * HALF
    i = tl.arange(0, PAD_HALF)
    d = tl.arange(0, PAD_DIM)
    s = tl.arange(0, BLOCK)
    for at in range(tl.maximum(begin, first // BLOCK * BLOCK), end, BLOCK):
        seen = (at + s < end) & (at + s >= first)
        where = base + (at + s) * DIM
        k_inside = seen[None, :] & (i < HALF)[:, None]
        old_a = tl.load(keys + where[None, :] + i[:, None], mask=k_inside, other=0.0)
        old_b = tl.load(keys + where[None, :] + HALF + i[:, None], mask=k_inside, other=0.0)
        if CODES != 0:
            old_a = value_of(old_a, q_a.dtype, CODES, NATIVE)
            old_b = value_of(old_b, q_a.dtype, CODES, NATIVE)
        scores = tl.dot(q_a, old_a)
        scores = tl.dot(q_b, old_b, scores) * scale
        if CODES != 0:
            scores *= tl.load(key_scales + base // DIM + at + s, mask=seen, other=0.0)[None, :]
        scores = capped(scores, cap, CAP)
        scores = tl.where(seen[None, :], scores, float("-inf"))
        weights, shrink, extreme, total = softmax_step(scores, extreme, total)
        v_inside = seen[:, None] & (d < DIM)[None, :]
        old_v = tl.load(values + where[:, None] + d[None, :], mask=v_inside, other=0.0)
        if CODES != 0:  # weights times greatest values, times codes over the greatest code at the end
            old_v = value_of(old_v, q_a.dtype, CODES, NATIVE)
            tops = tl.load(value_scales + base // DIM + at + s, mask=seen, other=0.0) * greatest_code(CODES)
            weights *= tops[None, :]
        acc = tl.dot(weights.to(q_a.dtype), old_v, acc * shrink[:, None])
    return extreme, total, acc


@triton.jit
def _store_result(
    out, acc, total, row, heads, d, inside, HEADS: tl.constexpr, DIM: tl.constexpr, ORDER: tl.constexpr
):  # fmt: skip
    """The whole result of some heads, in the order of what reads it."""
    if DIM % ORDER == 0:  # a head begins a run: places once for all heads
        at = out + (row * HEADS + heads)[:, None] * DIM + place_of(d, ORDER)[None, :]
    else:
        at = out + row * (HEADS * DIM) + place_of(heads[:, None] * DIM + d[None, :], ORDER)
    tl.store(at, (acc / total[:, None]).to(out.dtype.element_ty), mask=inside)


@triton.jit
def _turned_heads(
    source, q_norm, k_norm, smoothing, cosines, sines, head, position, g, i, eps, HEADS: tl.constexpr,
    GROUP: tl.constexpr, HALF: tl.constexpr, NORM: tl.constexpr, SMOOTH: tl.constexpr, KIND: tl.constexpr,
):  # fmt: skip
    """Both halves of a key-value head's queries and of its new key, as KIND."""
    DIM: tl.constexpr = 2 * HALF
    cos = tl.load(cosines + position * HALF + i, mask=i < HALF, other=0.0)
    sin = tl.load(sines + position * HALF + i, mask=i < HALF, other=0.0)
    q_at = source + (head * GROUP + g)[:, None] * DIM + i[None, :]
    q_inside = (g < GROUP)[:, None] & (i < HALF)[None, :]
    q_a, q_b = _rotated(q_at, q_norm, cos[None, :], sin[None, :], i[None, :], q_inside, 1, eps, HALF, NORM)
    k_at = source + (HEADS + head) * DIM + i
    k_a, k_b = _rotated(k_at, k_norm, cos, sin, i, i < HALF, 0, eps, HALF, NORM)
    if SMOOTH:
        BEHIND: tl.constexpr = (HEADS + HEADS // GROUP) * DIM
        offset = smoothing + (head * GROUP + g)[:, None] * DIM + i[None, :]
        q_a, q_b = smoothed(q_a, offset, q_inside, BEHIND), smoothed(q_b, offset + HALF, q_inside, BEHIND)
        offset = smoothing + (HEADS + head) * DIM + i
        k_a, k_b = smoothed(k_a, offset, i < HALF, BEHIND), smoothed(k_b, offset + HALF, i < HALF, BEHIND)
    return q_a.to(KIND), q_b.to(KIND), k_a.to(KIND), k_b.to(KIND)


@triton.jit
def _begin_with_new(
    q_a, q_b, k_a, k_b, v, newest, scale, cap, PAD_GROUP: tl.constexpr, PAD_DIM: tl.constexpr,
    CAP: tl.constexpr,
):  # fmt: skip
    """The softmax's state with the new position alone, from registers; without any in another chunk."""
    own = tl.sum(q_a.to(tl.float32) * k_a.to(tl.float32)[None, :], axis=1)
    own += tl.sum(q_b.to(tl.float32) * k_b.to(tl.float32)[None, :], axis=1)
    extreme = tl.where(newest, capped(own * scale, cap, CAP), float("-inf"))
    total = tl.where(newest, 1.0, 0.0) + tl.zeros((PAD_GROUP,), tl.float32)
    acc = tl.where(newest, 1.0, 0.0) * v.to(tl.float32)[None, :] + tl.zeros((PAD_GROUP, PAD_DIM), tl.float32)
    return extreme, total, acc


@triton.jit
def _keep_new(
    keys, values, key_scales, value_scales, at, k_a, k_b, v, i, d, newest, HALF: tl.constexpr,
    CODES: tl.constexpr,
):  # fmt: skip
    """The new key and value into the cache, by the block that has their chunk; all as they are read again."""
    held_a, held_b, held_v = k_a, k_b, v
    if CODES != 0:
        kind = v.dtype
        held_a, held_b, k_scale = coded(k_a.to(tl.float32), k_b.to(tl.float32), 0, CODES)
        held_v, _, v_scale = coded(v.to(tl.float32), v.to(tl.float32), 0, CODES)
        k_a, k_b = as_read(held_a, k_scale, kind, CODES), as_read(held_b, k_scale, kind, CODES)
        v = as_read(held_v, v_scale, kind, CODES)
        tl.store(key_scales + at // (2 * HALF), k_scale, mask=newest)
        tl.store(value_scales + at // (2 * HALF), v_scale, mask=newest)
    tl.store(keys + at + i, held_a, mask=newest & (i < HALF))
    tl.store(keys + at + HALF + i, held_b, mask=newest & (i < HALF))
    tl.store(values + at + d, held_v, mask=newest & (d < 2 * HALF))
    return k_a, k_b, v


@triton.jit
def attend_chunk(
    qkv, q_norm, k_norm, smoothing, cosines, sines, positions, keys, values, key_scales, value_scales, out,
    parts, extremes, totals, capacity, window, row_stride, head_stride, scale, cap, eps, HEADS: tl.constexpr,
    KV_HEADS: tl.constexpr, GROUP: tl.constexpr, HALF: tl.constexpr, PAD_GROUP: tl.constexpr,
    PAD_HALF: tl.constexpr,
    PAD_DIM: tl.constexpr, CHUNK: tl.constexpr, SPLIT: tl.constexpr, WINDOW: tl.constexpr, NORM: tl.constexpr,
    SMOOTH: tl.constexpr, ORDER: tl.constexpr, BLOCK: tl.constexpr, CAP: tl.constexpr,
    DEPENDENT: tl.constexpr, CODES: tl.constexpr, NATIVE: tl.constexpr,
):  # fmt: skip
    head, row, chunk = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    DIM: tl.constexpr = 2 * HALF
    base = row.to(tl.int64) * row_stride + head * head_stride
    if DEPENDENT:
        if CODES == 0 or DIM % 16 == 0:
            _ask_ahead(
                positions, keys, values, row, chunk, base, capacity, DIM, CHUNK, 2 if CODES == 0 else 1
            )  # fmt: skip
        gdc_launch_dependents()
        gdc_wait()
    position = tl.load(positions + row)
    first = tl.maximum(position - window + 1, 0) if WINDOW else 0
    begin, newest = chunk * CHUNK, position // CHUNK == chunk
    if (position < 0) | (position >= capacity) | (begin > position):
        return
    g, i, d = tl.arange(0, PAD_GROUP), tl.arange(0, PAD_HALF), tl.arange(0, PAD_DIM)
    source = qkv + row.to(tl.int64) * ((HEADS + 2 * KV_HEADS) * DIM)
    q_a, q_b, k_a, k_b = _turned_heads(
        source, q_norm, k_norm, smoothing, cosines, sines, head, position, g, i, eps, HEADS, GROUP, HALF,
        NORM, SMOOTH, qkv.dtype.element_ty,
    )  # fmt: skip
    v = tl.load(source + (HEADS + KV_HEADS + head) * DIM + d, mask=d < DIM, other=0.0)
    k_a, k_b, v = _keep_new(
        keys, values, key_scales, value_scales, base + position * DIM, k_a, k_b, v, i, d, newest, HALF, CODES
    )  # fmt: skip
    extreme, total, acc = _begin_with_new(
        q_a, q_b, k_a, k_b, v.to(tl.float32) * greatest_code(CODES), newest, scale, cap, PAD_GROUP, PAD_DIM,
        CAP,
    )  # fmt: skip
    extreme, total, acc = _over_cached(
        q_a, q_b, keys, values, key_scales, value_scales, base, begin, tl.minimum(position, begin + CHUNK),
        first, scale, cap, extreme, total, acc, HALF, PAD_HALF, PAD_DIM, BLOCK, CAP, CODES, NATIVE,
    )  # fmt: skip
    if CODES != 0:
        acc *= 1.0 / greatest_code(CODES)
    heads, inside = head * GROUP + g, (g < GROUP)[:, None] & (d < DIM)[None, :]
    if SPLIT:
        slot = (row * HEADS + heads) * tl.num_programs(2) + chunk
        tl.store(parts + slot[:, None] * DIM + d[None, :], acc, mask=inside)
        tl.store(extremes + slot, extreme, mask=g < GROUP)
        tl.store(totals + slot, total, mask=g < GROUP)
    else:
        _store_result(out, acc, total, row, heads, d, inside, HEADS, DIM, ORDER)


@triton.jit
def combine_chunks(
    positions, parts, extremes, totals, out, capacity, chunks,
    HEADS: tl.constexpr, DIM: tl.constexpr, PAD_DIM: tl.constexpr, CHUNK: tl.constexpr, ORDER: tl.constexpr,
    DEPENDENT: tl.constexpr,
):  # fmt: skip
    head = tl.program_id(0)
    row = tl.program_id(1)
    if DEPENDENT:
        gdc_launch_dependents()
        gdc_wait()
    position = tl.load(positions + row)
    if (position < 0) | (position >= capacity):
        return
    d = tl.arange(0, PAD_DIM)
    highest = float("-inf")
    total = 0.0
    acc = tl.zeros((PAD_DIM,), tl.float32)
    newest = position // CHUNK
    for back in range(newest + 1):
        # newest first: it is never empty, so `highest` is finite from the first round on
        slot = (row * HEADS + head) * chunks + newest - back
        extreme = tl.load(extremes + slot)
        higher = tl.maximum(highest, extreme)
        shrink, weight = tl.exp2(highest - higher), tl.exp2(extreme - higher)
        total = total * shrink + tl.load(totals + slot) * weight
        acc = acc * shrink + tl.load(parts + slot * DIM + d, mask=d < DIM, other=0.0) * weight
        highest = higher
    at = out + row * (HEADS * DIM) + place_of(head * DIM + d, ORDER)
    tl.store(at, (acc / total).to(out.dtype.element_ty), mask=d < DIM)
