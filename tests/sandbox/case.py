"""One hostile program as data."""

from dataclasses import dataclass
from textwrap import dedent

from quantbench.sandbox.program import Program

# No program can guess what f is.
TEST = """
def check(candidate):
    assert candidate([3, 1, 2], 5) == 8127
    assert candidate([], -1.5) == -643.25
"""

# A resource: the program returns "survived" when nothing stopped it.
SURVIVED = 'def check(candidate):\n    assert candidate() == "survived"\n'

# A capability: the program returns "gained" when it could do what the box must stop.
GAINED = """
def check(candidate):
    assert candidate({guard!r}) == "gained"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """`source` defines f. `real`: it works where nothing contains it, which is tried too.

    `seconds` is the wall time it is given; `may_pass` marks what is harmless when contained.
    """

    name: str
    source: str
    real: bool = False
    seconds: float = 5.0
    may_pass: bool = False
    test: str = TEST

    def program(self, test: str | None = None) -> Program:
        return Program(
            task_id=self.name,
            prompt="",
            completion=dedent(self.source),
            test=test or self.test,
            entry_point="f",
            standalone=True,
        )
