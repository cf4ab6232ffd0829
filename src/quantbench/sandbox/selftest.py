"""Attacks a fresh box with controls that must fail and controls that must work; detects by trying.

The same attacks are first seen to be meaningful: the forbidden file is there and can be read outside.
"""

import os
import tempfile
from pathlib import Path

from quantbench.sandbox.lane import Lane
from quantbench.sandbox.program import Program

WALL_S = 20.0

HONEST = Program(
    task_id="self-test/honest",
    prompt="def add(a, b):\n",
    completion="    import colorsys\n    return [a + b, colorsys.__name__]\n",
    test="def check(candidate):\n    assert candidate(2, 3) == [5, 'colorsys']\n",
    entry_point="add",
)
WRONG = Program(
    task_id="self-test/wrong",
    prompt="def add(a, b):\n",
    completion="    return type('Equal', (), {'__eq__': lambda self, other: True})()\n",
    test="def check(candidate):\n    assert candidate(2, 3) == 5\n",
    entry_point="add",
)
HOSTILE = """
    import ctypes, os, signal, socket
    done = []
    def attempt(name, action):
        try:
            action()
        except (OSError, AttributeError):
            return
        done.append(name)
    def fork():
        if os.fork() == 0:
            os._exit(0)
    def execute():
        try:
            os.execv("/missing", ["missing"])
        except FileNotFoundError:
            pass  # it was looked for, so it would have been run
    def number(*arguments):
        if ctypes.CDLL(None).syscall(*arguments) < 0:
            raise OSError
    attempt("read a file of the host", lambda: open(path).read())
    attempt("list a folder of the host", lambda: os.listdir(os.path.dirname(path)))
    attempt("write a file of the host", lambda: open(path, "a").close())
    attempt("delete a file of the host", lambda: os.unlink(path))
    attempt("open a socket", lambda: socket.socket())
    attempt("open a local socket", lambda: socket.socket(socket.AF_UNIX))
    attempt("start a process", fork)
    attempt("execute a file", execute)
    attempt("signal its parent", lambda: os.kill(os.getppid() or parent, 0))
    attempt("renice its parent", lambda: os.setpriority(os.PRIO_PROCESS, os.getppid(), 5))
    attempt("make a memory file", lambda: os.memfd_create("x"))
    attempt("enter a user namespace", lambda: number(unshare, 0x10000000))
    return done
"""
NUMBERS = "unshare = {'x86_64': 272, 'aarch64': 97}[__import__('os').uname().machine]\n"
REPORT = """
def check(candidate):
    done = candidate({path!r}, {parent})
    assert done == [], ", ".join(done)
"""


def attack(lane: Lane, *, contained: bool) -> str | None:
    """What is wrong with this lane's box; None if it holds. Without `contained` only verdicts are checked."""
    outcome, detail = judge(lane, HONEST)
    if outcome != "passed":
        return f"an honest program ended as {outcome} ({detail})" if detail else f"it ended as {outcome}"
    if judge(lane, WRONG)[0] != "failed":
        return "a wrong program was not found out"
    if not contained:
        return None
    with tempfile.TemporaryDirectory() as folder:
        secret = Path(folder, "secret")
        secret.write_text("secret")
        Path(folder).chmod(0o777)  # only the box stands in the way
        secret.chmod(0o666)
        outcome, detail = judge(lane, hostile(secret))
    return None if outcome == "passed" else f"a hostile program could: {detail or outcome}"


def hostile(secret: Path) -> Program:
    """A program that tries everything that a box must stop and returns what it could do."""
    return Program(
        task_id="self-test/hostile",
        prompt=f"{NUMBERS}def attacks(path, parent):\n",
        completion=HOSTILE,
        test=REPORT.format(path=str(secret), parent=os.getpid()),
        entry_point="attacks",
    )


def judge(lane: Lane, program: Program) -> tuple[str, str]:
    """Outcome and detail of one program on this lane."""
    lane.submit(program, wall_s=WALL_S)
    report = lane.verdict()
    if report is None:
        return "broken_box", "its processes ended"
    return str(report["outcome"]), str(report["detail"])
