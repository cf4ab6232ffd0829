"""What multiplied a matrix in decode steps, in words for the audit."""

from collections.abc import Iterable

from quantbench.engine.cuda.few_rows.variant import takes
from quantbench.engine.cuda.packing import parts_of
from quantbench.engine.parameters import Matrix
from quantbench.kernels import Kernel


def multiplied_by(matrix: Matrix, steps: Iterable[Kernel], few_rows: Iterable[Kernel]) -> str:
    """The kernels of the steps that ran; '' where none did.

    A step that is one kernel multiplies by itself. Within another, few rows have kernels of their own where
    these take the whole matrix.
    """
    taken = all(takes(part, 1) for part in parts_of(matrix.weight))
    within = [f"{kernel.name}, up to {kernel.max_batch} rows" for kernel in few_rows] if taken else []
    names = [(step.name,) if _is_one_kernel(step) else (*within, step.name) for step in steps]
    return "; ".join(dict.fromkeys(name for told in names for name in told))


def _is_one_kernel(step: Kernel) -> bool:
    """Not one of any number of rows, nor what stands in where another cannot run."""
    return step.max_batch is not None and step.reason is None
