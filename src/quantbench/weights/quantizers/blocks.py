"""Walks a matrix in blocks of rows, so that temporaries stay small whatever the matrix's size.

On the CPU each thread takes blocks of its own and works on them alone: dozens of small operations, each
split over all threads, would wait for the slowest thread at every one of them. A block is about the size of
a core's second-level cache.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from quantbench.errors import ModelError
from quantbench.weights.finite import broken, is_finite

CPU_BLOCK = 1 << 19  # elements: 2 MiB of float32; smaller blocks cost more calls, larger ones more memory
CUDA_BLOCK = 1 << 25  # elements: 128 MiB of float32, enough to fill the device


def for_row_blocks(weight: Tensor, work: Callable[[slice, Tensor], None]) -> None:
    """Call `work(rows, those rows as float32)` for all rows of a weight [out, in], in any order."""
    step = max(1, (CUDA_BLOCK if weight.is_cuda else CPU_BLOCK) // weight.shape[1])
    blocks = [slice(start, start + step) for start in range(0, weight.shape[0], step)]

    def run(rows: slice) -> None:
        work(rows, weight[rows].float())

    threads = torch.get_num_threads()
    if weight.is_cuda or threads == 1 or len(blocks) == 1:
        for rows in blocks:
            run(rows)
        return
    try:  # the number is each thread's own, but new threads inherit the last one set
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            list(pool.map(run, blocks))
    finally:
        torch.set_num_threads(threads)


def require_finite(name: str, weight: Tensor, *made: Tensor) -> None:
    """ModelError when what was made from a weight (scales, zero points) is not finite: which, and why."""
    if all(is_finite(tensor) for tensor in made):
        return
    largest = float(weight.double().abs().max())
    raise ModelError(
        broken(name, weight)
        or f"'{name}' holds values too large for 16-bit scales and zero points (up to {largest:.3g}); "
        "use --methods bf16,int8"
    )
