"""One lane of the sandbox: a referee and a zygote that take one program at a time."""

import contextlib
import os
import signal
import subprocess
import time
from typing import Any

import psutil

from quantbench.errors import SandboxError
from quantbench.sandbox.inside.channel import JOB_BYTES, Channel, Closed, Late, TooLarge
from quantbench.sandbox.inside.limits import Limits
from quantbench.sandbox.inside.values import Malformed
from quantbench.sandbox.launch import start_processes
from quantbench.sandbox.program import Program

GRACE_S = 5.0  # beyond a program's own deadline, for a referee that is held up to say so
HELD = (
    0.5  # a referee that computed for this share of the time was held by the answer, not by other processes
)
FAREWELL_S = 2.0
MAX_PROGRAM = 16 << 20  # characters; Python would take gigabytes to read more


class Lane:
    """Starts its processes at once; `fd` is readable when a verdict is there or the referee has died."""

    def __init__(self, mode: str, limits: Limits) -> None:
        self.mode = mode
        self.limits = limits
        try:
            self._processes = start_processes(mode, limits)
        except OSError as error:
            raise SandboxError(f"the box cannot be started: {error}") from error
        self._channel = Channel(self._processes.control.fileno(), max_bytes=JOB_BYTES)
        self._number = 0
        self._referee_cpu_s = 0.0
        self.deadline = 0.0

    @property
    def fd(self) -> int:
        return self._channel.fd

    @property
    def process_ids(self) -> tuple[int, int]:
        """Of the referee and of the zygote (or the bubblewrap around it)."""
        return self._processes.referee.pid, self._processes.zygote.pid

    def submit(
        self,
        program: Program,
        *,
        wall_s: float | None = None,
        collect: str = "",
        account: bool = False,
        seed: int = 0,
    ) -> None:
        """Give the lane its next program; the verdict must be there before `deadline`.

        `collect` names a variable of the test to report; `account` waits for the program's end, so that the
        report holds its CPU seconds and peak bytes; `seed` sets the random numbers that the test draws.
        TooLarge for a program that cannot be handed over; nothing was given to the lane then.
        """
        wall_s = wall_s or self.limits.wall_s
        if len(program.source) > MAX_PROGRAM:
            raise TooLarge(f"it has {len(program.source):,} characters, where {MAX_PROGRAM:,} are the most")
        job = {
            "source": program.source,
            "prompt": program.prompt,
            "test": program.test,
            "entry_point": program.entry_point,
            "extra": program.extra_checks,
            "wall_s": wall_s,
            "collect": collect,
            "account": account,
            "seed": f"{seed} {program.task_id}",
        }
        self._number += 1
        self.deadline = time.monotonic() + wall_s + GRACE_S
        with contextlib.suppress(Closed):  # the verdict then tells that the referee is gone
            self._channel.send(job, self._number)

    def verdict(self) -> dict[str, Any] | None:
        """The referee's report on the last program; None if the referee died or is late."""
        try:
            report, number = self._channel.receive(self.deadline)
        except (Closed, Late, Malformed):
            return None
        assert number == self._number
        self._referee_cpu_s = report["referee_cpu_s"]
        return dict(report)

    def is_held(self) -> bool:
        """Whether a referee that is late has computed all the time: an answer holds it, no other process."""
        try:
            times = psutil.Process(self._processes.referee.pid).cpu_times()
        except psutil.Error:
            return False
        return bool(times.user + times.system - self._referee_cpu_s >= HELD * self.limits.wall_s)

    def complaint(self) -> str:
        """Kill both processes; the last line that each wrote to its standard error."""
        self.kill()
        lines = []
        for process in (self._processes.zygote, self._processes.referee):
            assert process.stderr is not None
            text = process.stderr.read().decode(errors="replace").strip()
            lines += text.splitlines()[-1:]
        return " | ".join(lines)

    def begin_to_end(self) -> None:
        """Kill the referee, without which a zygote ends by itself; `kill` waits for both."""
        if self._processes.referee.returncode is None:
            _signal_group(self._processes.referee)
        self._processes.control.close()

    def kill(self) -> None:
        """End both processes and all that they started."""
        self.begin_to_end()
        self._processes.referee.wait()
        try:
            self._processes.zygote.wait(timeout=FAREWELL_S)
        except subprocess.TimeoutExpired:
            _kill_group(self._processes.zygote)


def _kill_group(process: "subprocess.Popen[bytes]") -> None:
    _signal_group(process)
    process.wait()


def _signal_group(process: "subprocess.Popen[bytes]") -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
