"""Nothing that one program does is seen by the next one in its lane, or felt by one in another lane."""

# ruff: noqa: E501 (one case, one place)

import ctypes
import fcntl
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import pytest

from quantbench.errors import SandboxError
from quantbench.sandbox import launch
from quantbench.sandbox.modes import LANDLOCK
from quantbench.sandbox.opening import open_lane
from quantbench.sandbox.pool import DEFAULT_LIMITS, open_sandbox
from quantbench.sandbox.program import Program
from tests.sandbox.arena import Arena
from tests.sandbox.conftest import MODES


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """`leave` is run, and what `look` returns must be what it was before."""

    name: str
    leave: str
    look: str


TRACES = [
    Trace(name="flags of open files", leave="""
        import fcntl, os
        for fd in range(64):
            try: fcntl.fcntl(fd, fcntl.F_SETFL, os.O_APPEND | os.O_NONBLOCK)
            except OSError: pass
    """, look="""
        import fcntl
        def f(*a): return [fcntl.fcntl(fd, fcntl.F_GETFL) for fd in range(3)]
    """),
    Trace(name="places in open files", leave="import os\nfor fd in range(3): os.lseek(fd, 77, 0)", look="""
        import os
        def f(*a): return [os.lseek(fd, 0, 1) for fd in range(3)]
    """),
    Trace(name="flags of descriptors", leave="import os\nfor fd in range(3): os.set_inheritable(fd, False)", look="""
        import os
        def f(*a): return [os.get_inheritable(fd) for fd in range(3)]
    """),
    Trace(name="closed descriptors", leave="import os\nos.closerange(0, 3)", look="""
        import os
        def f(*a): return [os.fstat(fd).st_rdev for fd in range(3)]
    """),
    Trace(name="numbers of processes and threads", leave="""
        import threading
        for _ in range(57):
            thread = threading.Thread(target=int)
            thread.start()
            thread.join()
    """, look="""
        import os, threading
        def f(*a): return [os.getpid(), threading.get_native_id(), os.getppid()]
    """),
    Trace(name="access times", leave="""
        import os
        for folder, _, names in os.walk(os.path.dirname(os.__file__) + "/json"):
            for name in names: open(os.path.join(folder, name), "rb").read(1)
    """, look="""
        import os
        def f(*a):
            root = os.path.dirname(os.__file__) + "/json"
            return [os.stat(root).st_atime_ns] + [os.stat(root + "/" + n).st_atime_ns for n in ("scanner.py", "tool.py")]
    """),
    Trace(name="files in the scratch folder", leave="""
        import os
        for path in ("/tmp/x", "/dev/shm/x", "/var/tmp/x", "x"):
            try: open(path, "w").close()
            except OSError: pass
    """, look="""
        import os
        def f(*a): return [os.path.exists(path) for path in ("/tmp/x", "/dev/shm/x", "/var/tmp/x", "x")]
    """),
    Trace(name="times of the scratch folder", leave="try: open('/tmp/x', 'w').close()\nexcept OSError: pass", look="""
        import os
        def f(*a): return [len(os.listdir("/tmp")) if os.access("/tmp", os.R_OK) and os.getcwd() == "/tmp" else 0]
    """),
    Trace(name="the environment", leave="import os\nos.environ['LEFT'] = 'x'\nos.putenv('LEFT', 'x')", look="""
        import os
        def f(*a): return sorted(os.environ.items())
    """),
    Trace(name="built-ins and modules", leave="""
        import builtins, math, sys
        builtins.left = math.left = 1
        math.pi = 3
        del sys.modules["json"]
        sys.setrecursionlimit(77)
        sys.setswitchinterval(1)
    """, look="""
        import builtins, math, sys
        def f(*a):
            names = [hasattr(builtins, "left"), hasattr(math, "left"), math.pi, "json" in sys.modules]
            return [*names, sys.getrecursionlimit(), sys.getswitchinterval()]
    """),
    Trace(name="signals, timers and masks", leave="""
        import os, signal
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
        signal.setitimer(signal.ITIMER_REAL, 99)
    """, look="""
        import signal
        def f(*a):
            masked = sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, [])))
            return [str(signal.getsignal(signal.SIGUSR1)), masked, list(signal.getitimer(signal.ITIMER_REAL))]
    """),
    Trace(name="random numbers", leave="import random\nrandom.seed(7)", look="""
        import random
        def f(*a): return random.random()
    """),
    Trace(name="what the runner remembers", leave="""
        import sys
        for name, module in list(sys.modules.items()):
            if name.startswith("quantbench"): vars(module).clear()
    """, look="""
        import sys
        def f(*a): return sorted(n for n in sys.modules if n.startswith("quantbench"))
    """),
    Trace(name="memory that was filled", leave="""
        kept = []
        try:
            while True: kept.append(b"left" * (1 << 18))
        except MemoryError: kept.clear()
    """, look="""
        def f(*a): return b"left" * 8 in bytes(bytearray(1 << 22))
    """),
    Trace(name="locks on files", leave="""
        import fcntl, os
        file = open(os.__file__)
        for lock in (fcntl.flock, fcntl.lockf):
            try: lock(file, fcntl.LOCK_SH)
            except OSError: pass
    """, look="""
        import fcntl, os
        def f(*a):
            try: return fcntl.flock(open(os.__file__), fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error: return error.errno
    """),
    Trace(name="what the last one asked for", leave="import os\nos.write(3, b'x' * 4096)", look="""
        import select
        def f(*a): return [len(select.select([3], [], [], 0)[0])]
    """),
]  # fmt: skip
KEEP = "SEEN = []\ndef check(candidate):\n    SEEN.append(candidate())\n"


def seen(arena: Arena, source: str) -> object:
    """What a program's f returns, as packed data."""
    program = Program(
        task_id="t", prompt="", completion=dedent(source), test=KEEP, entry_point="f", standalone=True
    )
    arena.lane.submit(program, wall_s=8, collect="SEEN")
    report = arena.lane.verdict()
    assert report is not None and report["outcome"] == "passed", report
    return report["collected"]


def leave(arena: Arena, trace: Trace) -> None:
    for ending in ("\ndef f(): return 1\n", "\nraise SystemExit\n"):
        source = dedent(trace.leave) + ending
        arena.run(
            Program(task_id="t", prompt="", completion=source, test=KEEP, entry_point="f", standalone=True)
        )


@pytest.mark.parametrize("trace", TRACES, ids=[trace.name for trace in TRACES])
def test_the_next_program_sees_nothing(arena: Arena, trace: Trace) -> None:
    before = seen(arena, trace.look)
    leave(arena, trace)
    assert seen(arena, trace.look) == before


def test_files_that_share_one_opening_would_carry_flags_over() -> None:
    """What the first trace is about, shown without a box."""
    shared, own = os.open(os.devnull, os.O_RDWR), os.open(os.devnull, os.O_RDWR)
    child = os.fork()
    if child == 0:
        fcntl.fcntl(shared, fcntl.F_SETFL, os.O_APPEND)
        os._exit(0)
    os.waitpid(child, 0)
    flags = [fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_APPEND for fd in (shared, own)]
    os.close(shared)
    os.close(own)
    assert flags == [os.O_APPEND, 0]


def test_reading_a_file_would_carry_a_bit_over(tmp_path: Path) -> None:
    """What the trace of access times is about, shown without a box."""
    file = tmp_path / "file"
    file.write_text("x")
    os.utime(file, (1, 2))
    if os.statvfs(file).f_flag & os.ST_NOATIME:
        pytest.skip("the file system keeps no access times")
    file.read_bytes()
    assert file.stat().st_atime != 1


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, Arena]]:
    """A file that the box may read and that was last read long ago."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    for path in (*reversed(folder.parents[:-1]), folder):
        if os.access(path, os.W_OK) and path.stat().st_uid == os.geteuid() and path != Path("/tmp"):
            path.chmod(path.stat().st_mode | 0o055)
    file = folder / "book"
    file.write_text("x")
    os.utime(file, (1, 2))
    readable = launch.readable_paths()
    monkeypatch.setattr(launch, "readable_paths", lambda: [*readable, str(folder)])
    guard = tmp_path / "guard"
    guard.mkdir()
    try:
        arena = Arena(LANDLOCK, guard)
    except SandboxError as error:
        pytest.skip(str(error))
    yield file, arena
    arena.lane.kill()


def test_reading_leaves_no_access_time(shelf: tuple[Path, Arena]) -> None:
    file, arena = shelf
    source = f"def f(): return open({str(file)!r}).read()"
    program = Program(task_id="t", prompt="", completion=source, test=KEEP, entry_point="f")
    if arena.run(program)["outcome"] != "passed":
        pytest.skip("the folder cannot be read by the box's user")
    assert file.stat().st_atime == 1


POOL = """
def f(x):
    from concurrent.futures import ThreadPoolExecutor
    with ThreadPoolExecutor(16) as pool: return sum(pool.map(abs, range(x)))
"""
BOMB = """
import threading, time
threading.stack_size(32768)
def f(x):
    for _ in range(4000):
        try: threading.Thread(target=time.sleep, args=(99,), daemon=True).start()
        except RuntimeError: time.sleep(0.001)
"""
SUM = "def check(candidate):\n    assert candidate(100) == 4950\n"


@pytest.mark.parametrize("mode", MODES)
def test_a_neighbour_that_takes_every_thread_costs_no_verdict(mode: str) -> None:
    bomb = Program(task_id="bomb", prompt="", completion=BOMB, test=SUM, entry_point="f")
    honest = Program(task_id="pool", prompt="", completion=POOL, test=SUM, entry_point="f")
    try:
        with open_sandbox(mode=mode, workers=2) as sandbox:
            ended = [execution.outcome for execution in sandbox.run([bomb, *[honest] * 20])]
    except SandboxError as error:
        pytest.skip(str(error))
    assert ended[0] != "passed" and ended[1:] == ["passed"] * 20


def test_lanes_of_root_have_users_of_their_own() -> None:
    users = {launch.lane_uid() for _ in range(100)}
    assert len(users) == 100 and min(users) >= 0x60000000 and max(users) < 2**31


def test_without_namespaces_landlock_still_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "OWN_NAMESPACES", False)
    try:
        open_lane(LANDLOCK, DEFAULT_LIMITS).kill()
    except SandboxError as error:
        pytest.skip(str(error))


def test_two_who_read_the_same_file_could_call_each_other() -> None:
    """What the refused futexes are about: a wake is felt by who waits on the same page of a file."""
    library = ctypes.CDLL(None, use_errno=True)
    page = ctypes.cast(library.labs, ctypes.c_void_p).value
    assert page is not None
    page &= ~4095
    number = 98 if os.uname().machine == "aarch64" else 202
    child = os.fork()
    if child == 0:
        value, wait = ctypes.c_uint32.from_address(page).value, (ctypes.c_long * 2)(5, 0)
        woken = library.syscall(ctypes.c_long(number), ctypes.c_void_p(page), 0, value, wait)
        os._exit(7 if woken == 0 else 0)
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        if library.syscall(ctypes.c_long(number), ctypes.c_void_p(page), 1, 1) == 1:
            break
        time.sleep(0.01)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
