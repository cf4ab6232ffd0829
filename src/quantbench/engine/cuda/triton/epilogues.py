"""Device functions of `tiled_linear` behind its sums: scales, biases, and what becomes of them.

`EPILOGUE` is one of `linear.Epilogue`.
"""

from quantbench.engine.cuda.triton.activate import activated
from quantbench.engine.cuda.triton.language import tl, triton


@triton.jit
def write_sums(
    acc, out, ids, factors, tile, split, token, stop, rows, out_features, out_stride, EPILOGUE: tl.constexpr,
    ROWS: tl.constexpr, TOKENS: tl.constexpr, ACT: tl.constexpr, FACTORS: tl.constexpr,
):  # fmt: skip
    """What becomes of the sums [ROWS, TOKENS] of tokens from `token` on, up to `stop`."""
    t = token + tl.arange(0, TOKENS)
    row = tile * ROWS + tl.arange(0, ROWS)
    if FACTORS:
        factor = tl.load(factors + t, mask=t < stop, other=0.0)[None, :]
    if EPILOGUE == 0 or EPILOGUE == 3:
        if EPILOGUE == 3:
            acc = activated(acc, ACT)
            if FACTORS:
                acc = acc * factor
        at = out + (split.to(tl.int64) * rows + t[None, :]) * out_stride + row[:, None]
        inside = (row < out_features)[:, None] & (t < stop)[None, :]
        tl.store(at, acc.to(out.dtype.element_ty), mask=inside)
    elif EPILOGUE == 1:
        pairs = tl.permute(tl.reshape(acc, (2, ROWS // 2, TOKENS)), (1, 2, 0))
        gate, up = tl.split(pairs)
        width = out_features // 2
        column = tile * (ROWS // 2) + tl.arange(0, ROWS // 2)
        at = out + t[None, :].to(tl.int64) * width + column[:, None]
        inside = (column < width)[:, None] & (t < stop)[None, :]
        y = activated(gate, ACT) * up
        if FACTORS:
            y = y * factor
        tl.store(at, y.to(out.dtype.element_ty), mask=inside)
    else:
        acc = tl.where(acc < float("inf"), acc, float("inf"))  # NaN too: it has no place in an order
        acc = tl.where((row < out_features)[:, None], acc, float("-inf"))
        best, which = tl.max(acc, axis=0, return_indices=True)
        at = tile * rows + t
        tl.store(out + at, best, mask=t < stop)
        tl.store(ids + at, tile * ROWS + which, mask=t < stop)


@triton.jit
def scaled(acc, more, scale, bias, n, BY_ROW: tl.constexpr, BIAS: tl.constexpr):
    """The sums of rows `n` times the rows' scales, plus biases, where there are any."""
    if BY_ROW:
        factor = tl.load(scale + n)[:, None]
        acc, more = acc * factor, more * factor
    if BIAS:
        offset = tl.load(bias + n).to(tl.float32)[:, None]
        acc, more = acc + offset, more + offset
    return acc, more
