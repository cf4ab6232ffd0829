"""Finds a way to contain programs on this machine, by trying; says why one fails and how to fix it."""

import os
import platform
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from quantbench.errors import SandboxError
from quantbench.sandbox.inside.limits import Limits
from quantbench.sandbox.lane import Lane
from quantbench.sandbox.modes import BUBBLEWRAP, BUBBLEWRAP_ALONE, CONTAINED, LANDLOCK, UNSAFE
from quantbench.sandbox.selftest import attack


def open_first(modes: Sequence[str], limits: Limits) -> Lane:
    """A lane of the first mode that holds; SandboxError with every mode's reason if none does."""
    reasons = []
    for mode in modes:
        try:
            return open_lane(mode, limits)
        except SandboxError as error:
            reasons.append(f"{mode}: {error}")
    raise SandboxError(
        f"untrusted programs cannot be contained here ({'; '.join(reasons)}); fix one of these, "
        "or pass --unsafe-no-sandbox to run them without containment"
    )


def usual_modes() -> tuple[str, ...]:
    """What is tried, strongest first; bubblewrap without Landlock only on a kernel that has no Landlock."""
    if sys.platform != "linux":
        return (LANDLOCK,)  # its absence is explained once
    from quantbench.sandbox.inside import landlock  # needs a libc

    return (BUBBLEWRAP, LANDLOCK) if landlock.version() > 0 else CONTAINED


def open_lane(mode: str, limits: Limits) -> Lane:
    """A lane of this mode that withstood the self-test; SandboxError says why not and how to fix it."""
    problem = missing(mode)
    if problem:
        raise SandboxError(problem)
    lane = Lane(mode, limits)
    try:
        finding = attack(lane, contained=mode != UNSAFE)
        if finding is not None:
            raise SandboxError(explain(mode, finding, lane.complaint()))
    except BaseException:
        lane.kill()
        raise
    return lane


def missing(mode: str) -> str | None:
    """What this mode needs and the machine lacks, as far as it can be seen without trying."""
    if sys.platform == "win32":
        return "it needs fork, which Windows lacks; run quantbench in WSL"
    if mode == UNSAFE:
        return None
    if sys.platform != "linux":
        return "it needs Linux; run quantbench in a Linux container or virtual machine"
    if platform.machine() not in ("x86_64", "aarch64"):
        return f"its call filter knows x86-64 and aarch64, not {platform.machine()}"
    if mode in (BUBBLEWRAP, BUBBLEWRAP_ALONE) and shutil.which("bwrap") is None:
        return "it is not installed; run `apt install bubblewrap` or `dnf install bubblewrap`"
    return None


def explain(mode: str, finding: str, complaint: str) -> str:
    """A failed self-test in one sentence, with the usual remedy."""
    seen = f"{finding}: {complaint}" if complaint else finding
    if "bwrap:" in complaint:
        return (
            f"{seen}; user namespaces seem forbidden (Ubuntu 24.04: `sudo sysctl "
            "kernel.apparmor_restrict_unprivileged_userns=0`; Docker: "
            "`--security-opt seccomp=unconfined --security-opt apparmor=unconfined`)"
        )
    if "PermissionError" in complaint:
        return f"{seen}; give the container CAP_SETUID and CAP_SETGID, or run as an ordinary user"
    if "no Landlock" in seen:
        return f"{seen}; boot Linux 5.13 or newer with `landlock` in its lsm= option"
    return seen


def for_this_user(limits: Limits) -> Limits:
    """The kernel counts all threads of a user id: add those that are there. Root takes a fresh one."""
    uid = os.geteuid() if hasattr(os, "geteuid") else 0
    return replace(limits, processes=limits.processes + _threads_of(uid)) if uid else limits


def _threads_of(uid: int) -> int:
    count = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if process.stat().st_uid == uid:
                count += len(list((process / "task").iterdir()))
        except OSError:
            continue  # it ended meanwhile
    return count
