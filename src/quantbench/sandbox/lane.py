"""One lane of the sandbox: a referee and a zygote that take one program at a time."""

import contextlib
import os
import signal
import time
from typing import Any

from quantbench.errors import SandboxError
from quantbench.sandbox.inside.channel import Channel, Closed, Late
from quantbench.sandbox.inside.confine import Limits
from quantbench.sandbox.inside.values import Malformed
from quantbench.sandbox.launch import start_processes
from quantbench.sandbox.program import Program

GRACE_S = 3.0  # beyond a program's own deadline, for the referee to say so


class Lane:
    """Starts its processes at once; `fd` is readable when a verdict is there or the referee has died."""

    def __init__(self, mode: str, limits: Limits) -> None:
        self._limits = limits
        try:
            self._processes = start_processes(mode, limits)
        except OSError as error:
            raise SandboxError(f"the box cannot be started: {error}") from error
        self._channel = Channel(self._processes.control.fileno())
        self._number = 0
        self.deadline = 0.0

    @property
    def fd(self) -> int:
        return self._channel.fd

    def submit(self, program: Program, *, wall_s: float) -> None:
        """Give the lane its next program; the verdict must be there before `deadline`."""
        self._number += 1
        self.deadline = time.monotonic() + wall_s + GRACE_S
        job = {
            "source": program.prompt + program.completion,
            "prompt": program.prompt,
            "test": program.test,
            "entry_point": program.entry_point,
            "wall_s": wall_s,
        }
        with contextlib.suppress(Closed):  # the verdict then tells that the referee is gone
            self._channel.send(job, self._number)

    def verdict(self, wait_s: float = GRACE_S) -> dict[str, Any] | None:
        """The referee's report on the last program; None if the referee died or is late."""
        try:
            report, number = self._channel.receive(time.monotonic() + wait_s)
        except (Closed, Late, Malformed):
            return None
        assert number == self._number
        return dict(report)

    def complaint(self) -> str:
        """What the two processes wrote to their standard error, once they are dead."""
        self.kill()
        texts = []
        for process in (self._processes.zygote, self._processes.referee):
            assert process.stderr is not None
            texts.append(process.stderr.read().decode(errors="replace").strip())
            process.stderr.close()
        return " | ".join(text.splitlines()[-1] for text in texts if text)

    def kill(self) -> None:
        """End both processes and all that they started."""
        for process in (self._processes.referee, self._processes.zygote):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self._processes.control.close()
