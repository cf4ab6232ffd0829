"""The step of a few rows that a decoder may have beside the one for many: the persistent kernel."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from quantbench.engine.cuda.graphs import Step
from quantbench.engine.cuda.persistent.shape import MAX_ROWS
from quantbench.engine.cuda.state import StepState
from quantbench.engine.parameters import Parameters
from quantbench.settings import KvFormat


@dataclass(frozen=True, slots=True)
class PersistentStep:
    """The step for few rows, where it can be built."""

    build: Callable[[Parameters, StepState], Step]  # raises `unsupported` with the reason
    name: str
    max_batch: int  # rows
    unsupported: tuple[type[Exception], ...] = (NotImplementedError,)
    # compiles each variant for a format of the cache
    ahead: Callable[[Parameters, KvFormat | None], Sequence[Callable[[], object]]] = lambda model, kv: ()

    def takes(self, state: StepState) -> bool:
        return state.rows <= self.max_batch and state.logits is None


def persistent_step(most_rows: int = MAX_ROWS) -> PersistentStep:
    """The persistent kernel for few rows; where it does not run or compile, the step for more rows does."""
    from quantbench.engine.cuda.nvrtc import CompileError
    from quantbench.engine.cuda.persistent.launch import (
        Unsupported,
        build_persistent_step,
        compile_calls,
    )

    reasons = (Unsupported, CompileError)
    name = "one persistent kernel a step"
    ahead = partial(compile_calls, most_rows=most_rows)
    return PersistentStep(build_persistent_step, name, most_rows, reasons, ahead)


def first_error(message: str) -> str:
    """Of a compiler's log the first line that tells an error, else its first line."""
    lines = message.strip().split("\n")
    return next((line for line in lines if "error" in line), lines[0])
