"""Verdicts of a run by what was executed: a program that several methods wrote is executed once.

All trials of a run draw the tests' random numbers from one seed, so that the same program under the same test
and limits is the same execution. Only an end that is the program's own is found again: that it passed, failed
or was forbidden something. A time-out, a crash or an end for want of memory may be the machine's doing and is
executed again by every trial. The file lives as long as the run; a trial without one executes everything.
"""

import contextlib
import hashlib
import json
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from quantbench.records import Outcome
from quantbench.sandbox.inside.limits import Limits
from quantbench.sandbox.pool import SEED_VARIABLE, choose_seed
from quantbench.sandbox.program import Box, Execution, OnDone, Program

FILE = ".verdicts.jsonl"  # in the results folder; its first line holds the seed
OWN_ENDS = frozenset((Outcome.PASSED, Outcome.FAILED, Outcome.FORBIDDEN))
OpenBox = Callable[[], AbstractContextManager[Box]]


@contextmanager
def verdicts_kept(folder: Path) -> Iterator[None]:
    """The verdicts that this run's trials share are kept in its folder until the block is left.

    What an earlier run left is gone. Where the disk refuses, every trial executes all its programs.
    """
    path = folder / FILE
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
        path.touch(mode=0o600)
        path.write_text(f"{json.dumps({'seed': secrets.randbits(48)})}\n")
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """An execution, and the mode in which it was contained."""

    execution: Execution
    mode: str


class Verdicts:
    """What earlier trials of a run, and this one, have executed under one seed, `limits` and containment."""

    def __init__(self, path: Path, *, seed: int, limits: Limits, unsafe: bool) -> None:
        self.seed = seed
        self._path = path
        self._under = [seed, asdict(limits), unsafe]
        self._known: dict[str, Verdict] = {}

    def __len__(self) -> int:
        return len(self._known)

    def key(self, program: Program) -> str:
        """A digest of all that an execution depends on."""
        parts = [*self._under, program.source, asdict(program)]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def find(self, key: str) -> Verdict | None:
        """What is known of it."""
        return self._known.get(key)

    def read(self) -> None:
        """Take up what other trials have left; lines that are no verdicts are passed over."""
        with contextlib.suppress(OSError):
            for line in self._path.read_bytes().splitlines()[1:]:
                with contextlib.suppress(ValueError, KeyError, TypeError):
                    values = json.loads(line)
                    self._known[values["key"]] = Verdict(execution=execution_of(values), mode=values["mode"])

    def keep(self, found: Sequence[tuple[str, Execution]], mode: str) -> None:
        """Add those ends that are the programs' own, for this trial and the ones to come."""
        own = [(key, execution) for key, execution in found if execution.outcome in OWN_ENDS]
        self._known |= {key: Verdict(execution=execution, mode=mode) for key, execution in own}
        lines = [json.dumps({"key": key, "mode": mode, **asdict(execution)}) + "\n" for key, execution in own]
        with contextlib.suppress(OSError):  # never a file that the run has removed
            file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
            try:
                os.write(file, "".join(lines).encode())
            finally:
                os.close(file)


def execution_of(values: dict[str, Any]) -> Execution:
    """An execution as a line of the file has it."""
    return Execution(
        outcome=Outcome(values["outcome"]),
        detail=str(values["detail"]),
        seconds=float(values["seconds"]),
        extra=tuple(map(Outcome, values["extra"])),
    )


def verdicts_of(folder: Path, limits: Limits, *, unsafe: bool) -> Verdicts | None:
    """What the trials of the run in this folder share; None where they share nothing.

    SandboxError where QUANTBENCH_TEST_SEED, which takes the place of the run's seed, is no number.
    """
    path = folder / FILE
    try:
        with path.open("rb") as file:
            seed = int(json.loads(file.readline())["seed"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    seed = choose_seed() if os.environ.get(SEED_VARIABLE) else seed
    found = Verdicts(path, seed=seed, limits=limits, unsafe=unsafe)
    found.read()
    return found


class SharingBox:
    """A box that executes what has no verdict yet; the one behind it opens when that is executed."""

    def __init__(self, verdicts: Verdicts, behind: Callable[[], Box]) -> None:
        self.seed = verdicts.seed
        self._verdicts, self._behind = verdicts, behind
        self._mode: str | None = None

    @property
    def mode(self) -> str:
        """How programs are contained, or were where all verdicts were found."""
        return self._mode or self._behind().mode

    def run(self, programs: Sequence[Program], on_done: OnDone | None = None) -> list[Execution]:
        """Executions in the programs' order; of the same program several times the first decides."""
        keys = [self._verdicts.key(program) for program in programs]
        done: dict[int, Execution] = {}

        def take(index: int, execution: Execution) -> None:
            done[index] = execution
            if on_done:
                on_done(index, execution)

        def find() -> list[int]:
            for index in set(range(len(programs))) - done.keys():
                if verdict := self._verdicts.find(keys[index]):
                    self._mode = self._mode or verdict.mode
                    take(index, replace(verdict.execution, found=True))
            return [index for index in range(len(programs)) if index not in done]

        first = {keys[index]: index for index in reversed(find())}
        self._execute(programs, keys, sorted(first.values()), take)
        self._execute(programs, keys, find(), take)
        return [done[index] for index in range(len(programs))]

    def _execute(
        self, programs: Sequence[Program], keys: Sequence[str], wanted: Sequence[int], take: OnDone
    ) -> None:
        """Execute these and keep their verdicts."""
        if not wanted:
            return
        box = self._behind()
        self._mode = box.mode
        executions = box.run([programs[i] for i in wanted], lambda place, end: take(wanted[place], end))
        self._verdicts.keep([(keys[i], end) for i, end in zip(wanted, executions, strict=True)], box.mode)

    def collect(self, programs: Sequence[Program], variable: str) -> list[tuple[Execution, Any]]:
        """As of the box behind: findings are not shared."""
        return self._behind().collect(programs, variable)


def sharing(open_box: OpenBox, verdicts: Verdicts) -> OpenBox:
    """What opens a SharingBox before the box itself, which is closed with it."""

    @contextmanager
    def opened() -> Iterator[Box]:
        with ExitStack() as stack:
            boxes: list[Box] = []

            def behind() -> Box:
                if not boxes:
                    boxes.append(stack.enter_context(open_box()))
                return boxes[0]

            yield SharingBox(verdicts, behind)

    return opened
