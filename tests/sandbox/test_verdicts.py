"""Verdicts that a run's trials share: which programs are executed again, under which seed."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from quantbench.errors import SandboxError
from quantbench.records import Outcome
from quantbench.sandbox.inside.limits import Limits
from quantbench.sandbox.program import Execution, OnDone, Program
from quantbench.sandbox.verdicts import FILE, OWN_ENDS, SharingBox, sharing, verdicts_kept, verdicts_of

PROGRAM = Program(task_id="T/0", prompt="def f():\n", completion="    return 1\n", test="t", entry_point="f")
OTHERS = [
    replace(PROGRAM, **{field: f"{getattr(PROGRAM, field)} "})
    for field in ("task_id", "prompt", "completion", "test", "entry_point")
] + [replace(PROGRAM, standalone=True), replace(PROGRAM, extra_checks=("more",))]


class Machine:
    """In place of a sandbox: ends every program alike and counts them."""

    mode = "a test"
    seed = 0

    def __init__(self, outcome: Outcome = Outcome.PASSED) -> None:
        self.outcome = outcome
        self.ran: list[Program] = []
        self.opened = 0

    def run(self, programs: Sequence[Program], on_done: OnDone | None = None) -> list[Execution]:
        ends = [Execution(outcome=self.outcome, detail=str(len(self.ran)), seconds=2.0) for _ in programs]
        self.ran += programs
        for index, end in enumerate(ends):
            if on_done:
                on_done(index, end)
        return ends

    def collect(self, programs: Sequence[Program], variable: str) -> list[tuple[Execution, Any]]:
        return [(execution, variable) for execution in self.run(programs)]

    @contextmanager
    def open(self) -> Iterator["Machine"]:
        self.opened += 1
        yield self


def trial(folder: Path, machine: Machine, programs: Sequence[Program], limits: Limits | None = None) -> Any:
    """What one trial of a run gets for its programs: executions, mode."""
    shared = verdicts_of(folder, limits or Limits(), unsafe=False)
    assert shared is not None
    with sharing(machine.open, shared)() as box:
        return box.run(programs), box.mode


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    with verdicts_kept(tmp_path):
        yield tmp_path


@pytest.mark.parametrize("outcome", Outcome)
def test_only_an_end_that_is_the_programs_own_is_found_again(folder: Path, outcome: Outcome) -> None:
    machine = Machine(outcome)
    trial(folder, machine, [PROGRAM])
    (end,), _ = trial(folder, machine, [PROGRAM])
    assert end.found is (outcome in OWN_ENDS)
    assert len(machine.ran) == (1 if outcome in OWN_ENDS else 2)


def test_time_memory_and_crashes_are_no_ends_of_the_programs_own() -> None:
    assert not OWN_ENDS & {Outcome.TIMED_OUT, Outcome.OUT_OF_MEMORY, Outcome.CRASHED}


@pytest.mark.parametrize("other", OTHERS)
def test_whatever_differs_is_another_program(folder: Path, other: Program) -> None:
    machine = Machine()
    trial(folder, machine, [PROGRAM])
    (end,), _ = trial(folder, machine, [other])
    assert not end.found and machine.ran == [PROGRAM, other]


def test_other_limits_make_another_execution(folder: Path) -> None:
    machine = Machine()
    trial(folder, machine, [PROGRAM])
    trial(folder, machine, [PROGRAM], Limits(cpu_s=7))
    assert len(machine.ran) == 2


def test_a_found_verdict_is_the_first_ones_and_opens_no_box(folder: Path) -> None:
    first, second = Machine(), Machine()
    (one,), _ = trial(folder, first, [PROGRAM])
    (other,), mode = trial(folder, second, [PROGRAM])
    assert other == replace(one, found=True) and mode == "a test"
    assert (first.opened, second.opened) == (1, 0)


def test_equal_answers_of_one_trial_are_executed_once_in_their_order(folder: Path) -> None:
    machine = Machine()
    programs = [PROGRAM, OTHERS[0], PROGRAM, OTHERS[1], OTHERS[0]]
    ends, _ = trial(folder, machine, programs)
    assert [end.found for end in ends] == [False, False, True, False, True]
    assert machine.ran == [PROGRAM, OTHERS[0], OTHERS[1]]


def test_equal_answers_that_time_out_are_each_executed(folder: Path) -> None:
    machine = Machine(Outcome.TIMED_OUT)
    trial(folder, machine, [PROGRAM] * 3)
    assert len(machine.ran) == 3


def test_each_end_is_told_once(folder: Path) -> None:
    trial(folder, Machine(), [OTHERS[0]])
    shared = verdicts_of(folder, Limits(), unsafe=False)
    assert shared is not None
    told: list[int] = []
    SharingBox(shared, Machine).run([PROGRAM, OTHERS[0], PROGRAM], lambda index, _: told.append(index))
    assert sorted(told) == [0, 1, 2]


def test_all_trials_of_a_run_draw_from_one_seed_and_the_next_run_from_another(tmp_path: Path) -> None:
    seeds = []
    for _ in range(2):
        with verdicts_kept(tmp_path):
            for _ in range(2):
                shared = verdicts_of(tmp_path, Limits(), unsafe=False)
                assert shared is not None
                seeds.append(shared.seed)
    assert seeds[0] == seeds[1] != seeds[2] == seeds[3]


def test_a_named_seed_takes_the_place_of_the_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine()
    trial(folder, machine, [PROGRAM])
    monkeypatch.setenv("QUANTBENCH_TEST_SEED", "5")
    shared = verdicts_of(folder, Limits(), unsafe=False)
    assert shared is not None and shared.seed == 5
    trial(folder, machine, [PROGRAM])
    assert len(machine.ran) == 2
    monkeypatch.setenv("QUANTBENCH_TEST_SEED", "five")
    with pytest.raises(SandboxError, match="QUANTBENCH_TEST_SEED is 'five'"):
        verdicts_of(folder, Limits(), unsafe=False)


def test_the_file_is_gone_with_the_run_and_nothing_is_shared_without_one(tmp_path: Path) -> None:
    with verdicts_kept(tmp_path):
        trial(tmp_path, Machine(), [PROGRAM])
        late = verdicts_of(tmp_path, Limits(), unsafe=False)
    assert late is not None
    late.keep([(late.key(OTHERS[0]), Machine().run([PROGRAM])[0])], "a test")
    assert list(tmp_path.iterdir()) == []
    assert verdicts_of(tmp_path, Limits(), unsafe=False) is None


@pytest.mark.parametrize(
    "damage", [b"", b"{", b'{"key": 1}\n', b"\xff\xfe\n", b'{"key": "a", "mode": "m"}\n']
)
def test_lines_that_are_no_verdicts_are_passed_over(folder: Path, damage: bytes) -> None:
    machine = Machine()
    trial(folder, machine, [PROGRAM])
    with (folder / FILE).open("ab") as file:
        file.write(damage + b"\n")
    trial(folder, machine, [OTHERS[0]])
    ends, _ = trial(folder, machine, [PROGRAM, OTHERS[0]])
    assert all(end.found for end in ends)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"seed": null}', '{"other": 1}'])
def test_without_a_seed_nothing_is_shared(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE).write_text(content)
    assert verdicts_of(tmp_path, Limits(), unsafe=False) is None
