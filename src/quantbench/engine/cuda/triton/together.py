"""Kernels compiled at the same time in several threads, where Triton can, instead of one when each is needed.

Triton keeps what it compiled on disk by content, so that trials of the same format share it. Nothing here
runs a kernel. What fails to compile is left to the launch that needs it, which says so.
"""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from threading import Lock
from typing import Any

from quantbench.engine.cuda.triton.language import triton
from quantbench.engine.cuda.triton.launch import asked, interpreted

MOST_THREADS = 16


def compile_together(
    launches: Callable[[], Iterable[Callable[[], object]]], others: Iterable[Callable[[], object]] = ()
) -> None:
    """Compile every kernel that `launches` asks for, call what it returns, and `others`, all at once."""
    mode = None if interpreted() else getattr(triton, "AsyncCompileMode", None)
    with ThreadPoolExecutor(min(MOST_THREADS, usable_cores())) as pool:
        waiting: list[Future[object]] = [pool.submit(other) for other in others]
        if isinstance(mode, type):
            kernels: list[Any] = []
            launchers = Launchers()
            token = asked.set(kernels)
            try:
                with mode(pool, ignore_errors=True):
                    waiting += [pool.submit(more) for more in launches()]
                    waiting += [pool.submit(launchers.compiling(kernel)) for kernel in set(kernels)]
            finally:
                asked.reset(token)
        wait(waiting)


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Launchers:
    """The C functions that launch kernels: Triton compiles one for each list of arguments, kept on disk."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._made: set[str] = set()

    def compiling(self, kernel: Any) -> Callable[[], object]:
        """What compiles something that was asked for: itself, or for a kernel of Triton its launcher."""
        return kernel if callable(kernel) else partial(self.make, kernel)

    def make(self, kernel: Any) -> None:
        """Have a kernel's compiled, once the kernel itself is, unless another one shares it."""
        compiled = kernel.result() if hasattr(kernel, "result") else kernel
        signature = str(compiled.src.signature)
        with self._lock:
            known = signature in self._made
            self._made.add(signature)
        if not known:
            triton.runtime.driver.active.launcher_cls(compiled.src, compiled.metadata)
