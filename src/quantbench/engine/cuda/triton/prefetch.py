"""A device function that asks for memory to be brought into the L2 cache: a hint, it changes no result.

Issued before a kernel waits for its predecessor, so that weights and cached keys, which do not depend on
it, travel while it still runs. Needs compute capability 9.0.
"""

from quantbench.engine.cuda.triton.language import tl, triton


@triton.jit
def prefetch(at, size, THREADS: tl.constexpr):
    """Runs of `size` bytes (a multiple of 16) at the pointers `at` (16-byte aligned), by the first THREADS
    threads alone, so that copies of a small tensor in further threads ask for nothing twice."""
    return tl.inline_asm_elementwise(
        "{ .reg .pred mine, some; .reg .u32 thread; mov.u32 thread, %tid.x; "
        f"setp.lt.u32 mine, thread, {THREADS}; setp.gt.and.s32 some, $2, 0, mine; "
        "@some cp.async.bulk.prefetch.L2.global [$1], $2; mov.u32 $0, 0; }",
        "=r,l,r",
        [at.to(tl.int64), size],
        dtype=tl.int32,
        is_pure=False,
        pack=1,
    )
