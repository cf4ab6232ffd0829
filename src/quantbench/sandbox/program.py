"""What goes into the sandbox and what comes out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from quantbench.records import Outcome
from quantbench.sandbox.inside.runner import TEST_FOLLOWS

NEWLINE = "\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A completion made runnable: prompt + completion defines entry_point, test defines check(candidate).

    A `standalone` completion is the whole program; the tests' helpers come from the prompt all the same.
    `extra_checks` are further functions of the test that are tried after a passed `check`.
    """

    task_id: str
    prompt: str
    completion: str
    test: str
    entry_point: str
    standalone: bool = False
    extra_checks: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The program by itself."""
        return self.completion if self.standalone else self.prompt + self.completion

    @property
    def source(self) -> str:
        """What runs in the box: the program, ended as the official evaluator ends it.

        There the test's text follows, which a last backslash joins to the program: its blank lines and a
        function in the place of its first one show what becomes of that.
        """
        blank = self.test[: len(self.test) - len(self.test.lstrip())]
        return f"{self.text}\n{blank[: blank.rfind(NEWLINE) + 1]}def {TEST_FOLLOWS}(): pass\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """How it ended; `seconds` is wall time of the (last) attempt, `extra` the extra checks' outcomes.

    `found` says that the same program had been executed before and its end is taken.
    """

    outcome: Outcome
    detail: str
    seconds: float
    extra: tuple[Outcome, ...] = ()
    found: bool = False


OnDone = Callable[[int, Execution], None]


class Box(Protocol):
    """Runs programs; `mode` says how they are contained, `seed` what the tests draw."""

    seed: int

    @property
    def mode(self) -> str:
        """Of modes.py."""

    def run(self, programs: Sequence[Program], on_done: OnDone | None = None) -> list[Execution]:
        """Executions in the programs' order; `on_done` is told each index once, when final."""

    def collect(self, programs: Sequence[Program], variable: str) -> list[tuple[Execution, Any]]:
        """Run programs whose tests leave a finding in `variable`; None is that of one that did not pass."""
