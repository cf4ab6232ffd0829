"""A lane under small limits, attacked case by case, and what must be true after each case."""

import hashlib
import time
from pathlib import Path
from typing import Any

import psutil

from quantbench.sandbox.inside.limits import Limits
from quantbench.sandbox.lane import Lane
from quantbench.sandbox.opening import for_this_user, open_lane
from quantbench.sandbox.program import Program

SMALL = Limits(cpu_s=1, wall_s=5.0, memory_bytes=256 << 20)
HONEST = Program(
    task_id="honest",
    prompt="def total(numbers):\n",
    completion="    import colorsys\n    return sum(numbers)\n",
    test="def check(candidate):\n    assert candidate([1, 2, 3]) == 6\n    assert candidate([]) == 0\n",
    entry_point="total",
)


class Arena:
    """A box, a folder that everyone may write to, and the processes that were there at the start."""

    def __init__(self, mode: str, folder: Path) -> None:
        self.lane: Lane = open_lane(mode, for_this_user(SMALL))
        self.guard = folder
        folder.chmod(0o777)
        (folder / "secret").write_text("secret")
        (folder / "secret").chmod(0o666)
        (folder / "empty").mkdir(mode=0o777)
        self._before = fingerprint(folder)
        self._processes = self.processes()

    def run(self, program: Program, seconds: float = 5.0) -> dict[str, Any]:
        """The referee's report, with the peak of memory."""
        self.lane.submit(program, wall_s=seconds, account=True)
        report = self.lane.verdict()
        assert report is not None, "the referee is gone"
        return report

    def check_aftermath(self, report: dict[str, Any]) -> None:
        """Nothing is left, nothing is changed, and an honest program passes."""
        assert report["peak_bytes"] <= SMALL.memory_bytes
        assert fingerprint(self.guard) == self._before
        assert self.run(HONEST)["outcome"] == "passed"
        assert self.left_over() == set()

    def left_over(self) -> set[int]:
        """Processes of the box that were not there at the start; a killed one may need a moment."""
        for _ in range(50):
            left = self.processes() - self._processes
            if not left:
                break
            time.sleep(0.02)
        return left

    def processes(self) -> set[int]:
        """Everything below the lane, and orphans that run the box's code."""
        found = set()
        for pid in self.lane.process_ids:
            found |= {pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))}
        for process in psutil.process_iter(["ppid", "cmdline"]):
            if process.info["ppid"] == 1 and "inside.zygote" in " ".join(process.info["cmdline"] or []):
                found.add(process.pid)
        return found


def fingerprint(folder: Path) -> str:
    """Of every file's name, mode, owner, times and content."""
    digest = hashlib.sha256()
    for path in [folder, *sorted(folder.rglob("*"))]:
        status = path.lstat()
        fields = (path.name, status.st_mode, status.st_uid, status.st_mtime_ns, status.st_ctime_ns)
        content = path.read_bytes() if path.is_file() else b""
        digest.update(repr((fields, content)).encode())
    return digest.hexdigest()
