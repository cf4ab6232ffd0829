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
import gc
import json
import os
import random
import resource
import signal
import socket
import sys
import time
from collections.abc import Iterator
from types import CodeType
from typing import Any

from quantbench.sandbox.inside import closeness as closeness  # tests of HumanEval+ import it
from quantbench.sandbox.inside import confine
from quantbench.sandbox.inside.channel import JOB_BYTES, Channel, Closed, TooLarge
from quantbench.sandbox.inside.failures import ProgramStopped, describe
from quantbench.sandbox.inside.runner import OUT_OF_MEMORY_STATUS
from quantbench.sandbox.inside.values import pack
from quantbench.sandbox.inside.zygote import take_standard_input
from quantbench.sandbox.proxy import CRASHED, FORBIDDEN, TIMED_OUT, Gone, Proxy, ZygoteProxy

PASSED, FAILED, OUT_OF_MEMORY = "passed", "failed", "out_of_memory"
NO_THREAD = "can't start new thread"
ALARM_AFTER_S = 0.5  # beyond the deadline, which ends most waiting by itself
BROKEN_TEST = "the test is broken:"  # how a detail starts where no program could have passed
FULL_CPU = 0.5  # of the limit: the kernel charges whole ticks, also where a hypervisor took them

Verdict = tuple[str, str]  # outcome, detail


def main() -> None:
    """Serve jobs until the pool closes the socket."""
    settings = json.loads(sys.argv[1])
    pool = Channel(take_standard_input().detach(), max_bytes=JOB_BYTES)
    zygote = ZygoteProxy(socket.socket(fileno=settings["zygote_fd"]))
    sys.path.remove(settings["package_root"])
    if sys.platform == "linux":
        confine.die_with_parent()
        confine.limit_memory(settings["memory_bytes"])
    if settings["landlock"]:
        confine.restrict_files(confine.reading_rules(settings["readable"]))
    os.dup2(0, 2)
    while True:
        try:
            job, number = pool.receive()
        except Closed:
            return
        report = judge(job, zygote, settings["cpu_s"]) | {"referee_cpu_s": time.process_time()}
        try:
            pool.send(report, number)
        except TooLarge as error:
            pool.send(report | {"outcome": FAILED, "detail": str(error), "collected": None}, number)


def judge(job: dict[str, Any], zygote: ZygoteProxy, cpu_s: float) -> dict[str, Any]:
    """The report on one program: outcome and detail, wall and CPU seconds, and what the job asked for.

    `cpu_s` holds the referee's own seconds too, where the program's are known; `preempted` counts how often
    either was ready to run but another process ran; `no_thread` says that the system refused it a thread.
    """
    proxy = zygote.start()
    tests: dict[str, Any] = {}
    extra: list[str] = []
    collected = None
    started, own = time.monotonic(), _use()
    try:
        with _alarm(proxy, job["wall_s"] + ALARM_AFTER_S):
            outcome, detail = _run_tests(job, proxy, tests)
            if outcome == PASSED:
                extra = [_run_check(tests.get(name), proxy)[0] for name in job["extra"]]
                collected = pack(tests.get(job["collect"])) if job["collect"] else None
    except Gone as error:  # the alarm rang when the test was just over
        outcome, detail = TIMED_OUT, str(error)
    proxy.close()
    report: dict[str, Any] = {
        "wall_s": time.monotonic() - started,
        "cpu_s": None,
        "preempted": 0,
        "extra": extra,
    }
    if proxy.end in (CRASHED, TIMED_OUT) or job["account"]:
        report |= zygote.report()
        if proxy.end in (CRASHED, TIMED_OUT) and outcome != PASSED:
            outcome, detail = _ending(proxy.end, report, cpu_s)
        report["cpu_s"] += _use()[0] - own[0]
        report["preempted"] += _use()[1] - own[1]
    else:
        zygote.end()
    if outcome == OUT_OF_MEMORY:
        tests.clear()
        gc.collect()
    no_thread = outcome == FAILED and NO_THREAD in detail
    return report | {"outcome": outcome, "detail": detail, "collected": collected, "no_thread": no_thread}


def _use() -> tuple[float, int]:
    """This process's CPU seconds, and how often it had to make way for another."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime, used.ru_nivcsw


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
    """Define the prompt's helpers while the child is confined, have the program loaded, and check it.

    The test's code runs when the program is on its way, as it may call it by itself. Until then both sides
    draw the same random numbers; then the tests draw others, which nothing in the box can know.
    """
    try:
        helpers, code = _compiled(job["prompt"], job["test"])
        random.seed(0)
        if helpers is not None:
            with contextlib.suppress(Exception):  # the program ends by it as well, if it has this prompt
                exec(helpers, tests)
    except BaseException as error:
        return _broken_test(proxy, error)
    try:
        proxy.confined()
        tests[job["entry_point"]] = proxy.load(job["source"], job["entry_point"], job["wall_s"], tests)
        random.seed(job["seed"])
        exec(code, tests)
        proxy.loaded()
    except BaseException as error:
        untried = not proxy.calls and not proxy.raised(error, BaseException)
        return _broken_test(proxy, error) if untried else _failure(proxy, error)
    return _run_check(tests.get("check"), proxy)


def _broken_test(proxy: Proxy, error: BaseException) -> Verdict:
    outcome, detail = _failure(proxy, error)
    return outcome, detail if proxy.end is not None else f"{BROKEN_TEST} {detail}"


def _run_check(check: Any, proxy: Proxy) -> Verdict:
    """A pass: the check returned, after at least one call, and the program is still there.

    A check that has nothing to call the program with says so by its attribute `calls_nothing`.
    """
    if not callable(check):
        return FAILED, f"{BROKEN_TEST} it defines no function check"
    before = proxy.calls
    try:
        check(proxy.candidate)
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
    if isinstance(error, MemoryError):
        return OUT_OF_MEMORY, detail or "memory was used up by the answer or the test"
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


@functools.lru_cache(maxsize=64)
def _compiled(prompt: str, test: str) -> tuple[CodeType | None, CodeType]:
    """The prompt, whose last function may lack a body, and the tests."""
    code = compile(test, "<test>", "exec")
    for ending in ("", "\n    pass\n", "\n        pass\n"):
        try:
            return compile(prompt + ending, "<prompt>", "exec"), code
        except SyntaxError:
            continue
    return None, code
