"""What goes into the sandbox and what comes out."""

from dataclasses import dataclass

from quantbench.records import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A completion made runnable: prompt + completion defines entry_point, test defines check(candidate)."""

    task_id: str
    prompt: str
    completion: str
    test: str
    entry_point: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """How it ended; `seconds` is wall time of the (last) attempt."""

    outcome: Outcome
    detail: str
    seconds: float
