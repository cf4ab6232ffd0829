"""Runs the tests outside the box, against a proxy of the program's function; started by launch.py.

A light interpreter: descriptor 0 is the socket to the pool, argv names the socket to the zygote. For each
job it has the zygote start a child, sends it the program, runs `check(proxy)` here, has the child killed,
and reports. Each call goes into the box as data and comes back as data, so the verdict is made of plain
values in a process that never ran model code. Helpers that the tests use come from the prompt. The test
code is trusted as far as its author; it still runs under Landlock: no writing, nothing but the standard
library to read, no TCP.
"""

import contextlib
import functools
import json
import os
import random
import signal
import socket
import sys
import time
from collections.abc import Iterator
from types import CodeType
from typing import Any

from quantbench.sandbox.inside import closeness as closeness  # tests of HumanEval+ import it
from quantbench.sandbox.inside import confine
from quantbench.sandbox.inside.channel import JOB_BYTES, Channel, Closed
from quantbench.sandbox.inside.runner import OUT_OF_MEMORY_STATUS
from quantbench.sandbox.inside.values import ProgramStopped, describe, pack
from quantbench.sandbox.inside.zygote import take_standard_input
from quantbench.sandbox.proxy import CRASHED, FORBIDDEN, TIMED_OUT, Gone, Proxy, Zygote

PASSED, FAILED, OUT_OF_MEMORY = "passed", "failed", "out_of_memory"
MEMORY_BYTES = 4 << 30
ALARM_AFTER_S = 0.5  # beyond the deadline, which ends most waiting by itself
BROKEN_TEST = "the test is broken:"  # how a detail starts where no program could have passed
FULL_CPU = 0.5  # of the limit: the kernel charges whole ticks, also where a hypervisor took them

Verdict = tuple[str, str]  # outcome, detail


def main() -> None:
    """Serve jobs until the pool closes the socket."""
    settings = json.loads(sys.argv[1])
    pool = Channel(take_standard_input().detach(), max_bytes=JOB_BYTES)
    zygote = Zygote(socket.socket(fileno=settings["zygote_fd"]))
    sys.path.remove(settings["package_root"])
    if sys.platform == "linux":
        confine.die_with_parent()
        confine.limit_memory(MEMORY_BYTES)
    if settings["landlock"]:
        confine.restrict_files(confine.reading_rules(settings["readable"]))
    os.dup2(0, 2)
    while True:
        try:
            job, number = pool.receive()
        except Closed:
            return
        pool.send(judge(job, zygote, settings["cpu_s"]), number)


def judge(job: dict[str, Any], zygote: Zygote, cpu_s: float) -> dict[str, Any]:
    """The report on one program: outcome and detail, wall and CPU seconds, and what the job asked for."""
    proxy = zygote.start()
    tests: dict[str, Any] = {}
    started = time.monotonic()
    with _alarm(proxy, job["wall_s"] + ALARM_AFTER_S):
        outcome, detail = _run_tests(job, proxy, tests)
        extra = [_run_check(tests[name], proxy)[0] for name in job["extra"]] if outcome == PASSED else []
    proxy.close()
    report = {"wall_s": time.monotonic() - started, "cpu_s": None, "extra": extra}
    if proxy.end in (CRASHED, TIMED_OUT) or job["account"]:
        report |= zygote.report()
        if proxy.end in (CRASHED, TIMED_OUT) and outcome != PASSED:
            outcome, detail = _ending(proxy.end, report, cpu_s)
    else:
        zygote.end()
    if job["collect"] and outcome == PASSED:
        report["collected"] = pack(tests.get(job["collect"]))
    return report | {"outcome": outcome, "detail": detail}


@contextlib.contextmanager
def _alarm(proxy: Proxy, seconds: float) -> Iterator[None]:
    """Interrupt tests that do not end, as on an answer that takes for ever to rebuild or to compare."""

    def stop(*_: object) -> None:
        proxy.end = proxy.end or TIMED_OUT
        raise Gone("the test did not end in time")

    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _run_tests(job: dict[str, Any], proxy: Proxy, tests: dict[str, Any]) -> Verdict:
    """Define the tests while the child is confined, load the program, and check it."""
    try:
        _define_tests(job, proxy, tests)
    except BaseException as error:
        outcome, detail = _failure(proxy, error)
        return outcome, f"{BROKEN_TEST} {detail}"
    if not callable(tests.get("check")):
        return FAILED, f"{BROKEN_TEST} it defines no function check"
    try:
        proxy.confined()
        proxy.load(job["source"], job["entry_point"], job["wall_s"])
    except BaseException as error:
        return _failure(proxy, error)
    random.seed(0)
    return _run_check(tests["check"], proxy)


def _run_check(check: Any, proxy: Proxy) -> Verdict:
    """A pass: the check returned, after at least one call, and the program is still there.

    A check that has nothing to call the program with says so by its attribute `calls_nothing`.
    """
    before = proxy.calls
    try:
        check(proxy.call)
    except BaseException as error:
        return _failure(proxy, error)
    if proxy.end is not None:
        return proxy.end, "the test went on without the program"
    if proxy.calls == before and not getattr(check, "calls_nothing", False):
        return FAILED, "the test never called the program"
    return PASSED, ""


def _failure(proxy: Proxy, error: BaseException) -> Verdict:
    """What an exception means: the program's own, a failed assertion, or a defect of the test."""
    if isinstance(error, Gone) or proxy.end is not None:
        return proxy.end or CRASHED, str(error)
    name, text = ("", str(error)) if isinstance(error, ProgramStopped) else describe(error)
    detail = f"{name}: {text}" if name and text else name or text
    if proxy.raised(error, MemoryError):
        return OUT_OF_MEMORY, detail
    if proxy.raised(error, PermissionError):
        return FORBIDDEN, detail
    return FAILED, detail


def _ending(end: str, report: dict[str, Any], cpu_s: float) -> Verdict:
    """What the status of a process that did not answer says."""
    status, used = report["status"], report["cpu_s"]
    if end == TIMED_OUT:
        return TIMED_OUT, f"no answer in time; {used:.1f} s of CPU used"
    if status == -signal.SIGKILL and used >= FULL_CPU * cpu_s:
        return TIMED_OUT, f"{used:.1f} s of CPU used"
    if status == OUT_OF_MEMORY_STATUS:
        return OUT_OF_MEMORY, "memory was used up"
    if status == -signal.SIGSYS:
        return FORBIDDEN, "a system call of another architecture"
    if status is not None and status < 0:
        return CRASHED, f"ended by {signal.Signals(-status).name}"
    return CRASHED, f"ended with status {status} before it answered"


def _define_tests(job: dict[str, Any], proxy: Proxy, tests: dict[str, Any]) -> None:
    """Define `check` after the prompt's helpers, with the proxy under the function's own name too."""
    helpers, code = _compiled(job["prompt"], job["test"])
    random.seed(0)
    if helpers is not None:
        exec(helpers, tests)
    tests[job["entry_point"]] = proxy.call
    exec(code, tests)


@functools.lru_cache(maxsize=1024)
def _compiled(prompt: str, test: str) -> tuple[CodeType | None, CodeType]:
    """The prompt, whose last function may lack a body, and the tests."""
    code = compile(test, "<test>", "exec")
    for ending in ("", "\n    pass\n", "\n        pass\n"):
        try:
            return compile(prompt + ending, "<prompt>", "exec"), code
        except SyntaxError:
            continue
    return None, code
