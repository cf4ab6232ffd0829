"""The pool: order, news, retries, lanes that die, and nothing left behind."""

import os
import signal
import subprocess
import sys
import time
from typing import Any

import psutil
import pytest

from quantbench.errors import SandboxError
from quantbench.records import Outcome
from quantbench.sandbox import lane as lane_module
from quantbench.sandbox import pool
from quantbench.sandbox.inside.limits import Limits
from quantbench.sandbox.modes import UNSAFE
from quantbench.sandbox.pool import Batch, execution_of, open_sandbox, was_starved
from quantbench.sandbox.program import Program
from quantbench.sandbox.referee import BROKEN_TEST

QUICK = Limits(cpu_s=1, wall_s=0.4)


def program(source: str, test: str = "def check(c):\n    assert c() == 1\n") -> Program:
    return Program(task_id="t", prompt="", completion=source, test=test, entry_point="f")


ONE = program("def f(): return 1")
TWO = program("def f(): return 2")
SLEEP = program("import time\ndef f():\n    time.sleep(99)")
STUCK = program("def f(): return 1", "def check(c):\n    c()\n    sum(iter(int, 1))\n")


def report(outcome: str, *, cpu_s: float | None = 0.0, wall_s: float = 1.0, **more: Any) -> pool.Report:
    plain = {"outcome": outcome, "detail": "", "wall_s": wall_s, "cpu_s": cpu_s, "preempted": 0, "extra": []}
    return plain | more


def test_executions_come_in_the_programs_order() -> None:
    with open_sandbox(workers=3) as sandbox:
        executions = sandbox.run([ONE, TWO] * 10)
    assert [e.outcome for e in executions] == [Outcome.PASSED, Outcome.FAILED] * 10


def test_each_program_is_told_once_when_it_is_done() -> None:
    told = []
    with open_sandbox(limits=QUICK, workers=2) as sandbox:
        executions = sandbox.run([ONE, SLEEP, TWO], on_done=lambda i, e: told.append((i, e)))
    assert sorted(told, key=lambda item: item[0]) == list(enumerate(executions))


def test_a_program_that_sleeps_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    handed_over = []
    submit = lane_module.Lane.submit
    with open_sandbox(limits=QUICK, workers=2) as sandbox:
        monkeypatch.setattr(
            lane_module.Lane, "submit", lambda lane, *a, **k: [handed_over.append(a), submit(lane, *a, **k)]
        )
        executions = sandbox.run([SLEEP] * 4)
    assert {execution.outcome for execution in executions} == {Outcome.TIMED_OUT}
    assert len(handed_over) == 4


@pytest.mark.parametrize(
    ("ended", "again"),
    [
        (report("timed_out", cpu_s=3.0, wall_s=3.05, preempted=99), False),
        (report("timed_out", cpu_s=3.0, wall_s=6.0, preempted=99), True),
        (report("timed_out", cpu_s=0.1, wall_s=6.0, preempted=2), False),
        (report("timed_out", cpu_s=None, wall_s=6.0), False),
        (report("timed_out", cpu_s=None, wall_s=6.0, again=True), True),
        (report("failed", cpu_s=0.0, preempted=99), False),
        (report("failed", no_thread=True), True),
    ],
)
def test_only_what_others_may_have_held_up_is_tried_again(ended: pool.Report, again: bool) -> None:
    assert was_starved(ended) == again


def test_a_program_that_was_held_up_is_tried_once_more_and_then_told() -> None:
    told: list[tuple[int, Outcome]] = []
    batch = Batch([ONE], lambda index, execution: told.append((index, execution.outcome)))
    batch.take(batch.waiting.popleft(), report("timed_out", cpu_s=0.5, preempted=99))
    assert told == []
    batch.take_up_starved()
    batch.take(batch.waiting.popleft(), report("timed_out", cpu_s=0.5, preempted=99))
    assert told == [(0, Outcome.TIMED_OUT)]


def test_a_program_whose_lane_dies_twice_has_crashed() -> None:
    batch = Batch([ONE], None)
    assert batch.waiting.popleft() == 0
    batch.take(0, None)
    assert batch.waiting.popleft() == 0
    batch.take(0, None)
    assert batch.reports()[0]["outcome"] == "crashed"


def test_a_killed_referee_costs_no_verdict() -> None:
    with open_sandbox(workers=1) as sandbox:
        os.kill(sandbox._lanes[0].process_ids[0], signal.SIGKILL)
        assert sandbox.run([ONE])[0].outcome == Outcome.PASSED


def test_a_test_stuck_inside_c_is_ended_and_paid_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane_module, "HELD", 0.1)
    held = []
    kill = lane_module.Lane.kill
    with open_sandbox(limits=QUICK, workers=1) as sandbox:
        with monkeypatch.context() as patch:
            patch.setattr(lane_module, "GRACE_S", 0.3)
            patch.setattr(lane_module.Lane, "kill", lambda lane: [held.append(lane), kill(lane)])
            stuck = sandbox.run([STUCK])[0]
        assert (stuck.outcome, len(held)) == (Outcome.TIMED_OUT, 1)
        assert sandbox.run([ONE])[0].outcome == Outcome.PASSED


def test_what_a_program_says_is_made_printable() -> None:
    execution = execution_of(report("failed", detail="E: \x1b[31mred\x07\nnext"))
    assert execution.detail == "E:  [31mred  next"


def test_closing_leaves_no_process() -> None:
    with open_sandbox(workers=2) as sandbox:
        sandbox.run([ONE] * 4)
        pids = [pid for lane in sandbox._lanes for pid in lane.process_ids]
        children = [child for pid in pids for child in psutil.Process(pid).children(recursive=True)]
    assert not psutil.wait_procs(children, timeout=2)[1]
    assert not any(psutil.pid_exists(pid) for pid in pids)


INTERRUPTED = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a job in the background ignores
from quantbench.sandbox.pool import open_sandbox
from quantbench.sandbox.program import Program
from quantbench.sandbox.referee import BROKEN_TEST
source = "def f():\\n    while True: pass"
endless = Program(task_id="t", prompt="", completion=source, test="def check(c): c()", entry_point="f")
with open_sandbox(workers=2) as sandbox:
    print("open", flush=True)
    sandbox.run([endless] * 8)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_end_from_outside_leaves_no_process(number: signal.Signals) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert child.stdout is not None and child.stdout.readline() == b"open\n"
    time.sleep(0.4)
    below = psutil.Process(child.pid).children(recursive=True)
    child.send_signal(number)
    child.wait(timeout=10)
    child.stdout.close()
    assert (
        below and not psutil.wait_procs(below, timeout=30)[1]
    )  # at the latest when the program's time is up


def test_unsafe_is_said_in_the_mode() -> None:
    with open_sandbox(unsafe=True) as sandbox:
        assert sandbox.mode == UNSAFE
        assert [e.outcome for e in sandbox.run([ONE, TWO])] == [Outcome.PASSED, Outcome.FAILED]


def test_a_finding_of_a_test_is_collected() -> None:
    gather = program("def f(): return (1, {2})", "def check(c):\n    global FOUND\n    FOUND = [c()]\n")
    with open_sandbox(workers=1) as sandbox:
        (passed, finding), (failed, nothing) = sandbox.collect([gather, TWO], "FOUND")
    assert (passed.outcome, finding) == (Outcome.PASSED, [(1, {2})])
    assert (failed.outcome, nothing) == (Outcome.FAILED, None)


@pytest.mark.parametrize("test", ["x = 1\n", "check = 3\n", "def check(", "import no_such_module\n"])
def test_a_broken_test_fails_its_program_with_the_reason_and_the_others_run(test: str) -> None:
    with open_sandbox(workers=1) as sandbox:
        broken, sound = sandbox.run([program("def f(): return 1", test), ONE])
    assert broken.outcome == Outcome.FAILED and broken.detail.startswith(BROKEN_TEST)
    assert sound.outcome == Outcome.PASSED


def test_a_program_that_no_lane_can_take_fails_and_the_others_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane_module, "JOB_BYTES", 100_000)
    with open_sandbox(workers=1) as sandbox:
        large, sound = sandbox.run([program("#" * 100_000), ONE])
    assert large.outcome == Outcome.FAILED and "too large" in large.detail
    assert sound.outcome == Outcome.PASSED


def test_a_check_that_calls_nothing_passes_only_where_it_says_so() -> None:
    silent = "def check(c): pass\n"
    with open_sandbox(workers=1) as sandbox:
        told, untold = sandbox.run(
            [program("f = print", silent + "check.calls_nothing = True\n"), program("f = print", silent)]
        )
    assert (told.outcome, untold.outcome) == (Outcome.PASSED, Outcome.FAILED)


DRAW = "import random\nDRAWN = []\ndef check(c):\n    c()\n    DRAWN.append(random.random())\n"


def drawn(seed: int | None) -> tuple[float, int]:
    with open_sandbox(workers=1, seed=seed) as sandbox:
        ((_, found),) = sandbox.collect([program("def f(): return 1", DRAW)], "DRAWN")
        return found[0], sandbox.seed


def test_tests_draw_other_random_numbers_in_every_run_and_the_same_for_the_same_seed() -> None:
    (first, seed), (second, _) = drawn(None), drawn(None)
    assert first != second
    assert drawn(seed) == (first, seed)


def test_the_environment_can_name_the_seed_of_an_earlier_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(pool.SEED_VARIABLE, "42")
    assert drawn(None) == drawn(42)
    monkeypatch.setenv(pool.SEED_VARIABLE, "x")
    with pytest.raises(SandboxError, match="QUANTBENCH_TEST_SEED is 'x'; set it to"):
        pool.choose_seed()
