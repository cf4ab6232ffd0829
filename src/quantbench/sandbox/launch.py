"""Starts the two processes of a lane: the referee outside the box, the zygote inside."""

import json
import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import zoneinfo
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

from quantbench.sandbox.inside.limits import Limits
from quantbench.sandbox.modes import BUBBLEWRAP, BUBBLEWRAP_ALONE, LANDLOCK, UNSAFE

NOBODY = 65534
LANE_UIDS = 0x60000000  # from here on no system gives user ids to anyone
OWN_NAMESPACES = True  # without bubblewrap: ask for namespaces, and go on where there are none
_lanes = count()
# -I would ignore PYTHONHASHSEED; these keep user files out as well, and read no site-packages.
FLAGS = ("-s", "-P", "-S", "-B")
PACKAGE_ROOT = Path(__file__).resolve().parents[2]
BOX_ROOT = "/box"
START = "import sys; sys.path.insert(0, {root!r}); from quantbench.sandbox.{module} import main; main()"


@dataclass(frozen=True, slots=True, kw_only=True)
class Processes:
    """A lane's processes and the pool's end of the referee's socket."""

    referee: "subprocess.Popen[bytes]"
    zygote: "subprocess.Popen[bytes]"
    control: socket.socket


def start_processes(mode: str, limits: Limits) -> Processes:
    """Start referee and zygote in this mode, connected; OSError if one cannot be started."""
    control, referee_end = socket.socketpair()
    referee_zygote, zygote_end = socket.socketpair()
    with referee_end, referee_zygote, zygote_end:
        zygote = _start(zygote_command(mode, limits), zygote_end, [])
        try:
            command = referee_command(mode, limits, referee_zygote.fileno())
            referee = _start(command, referee_end, [referee_zygote.fileno()])
        except BaseException:
            zygote.kill()
            zygote.wait()
            raise
    return Processes(referee=referee, zygote=zygote, control=control)


def _start(command: Sequence[str], stdin: socket.socket, passed: Sequence[int]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        list(command),
        stdin=stdin.fileno(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment(),
        pass_fds=passed,
        start_new_session=True,
        cwd="/",
    )


def environment() -> dict[str, str]:
    """All that the processes see of the environment."""
    variables = {"PYTHONHASHSEED": "0", "LANG": "C.UTF-8", "TZ": "UTC"}
    if sys.platform == "linux" and sys.base_prefix != "/usr":
        variables["LD_LIBRARY_PATH"] = f"{sys.base_prefix}/lib"
    return variables


def interpreter() -> str:
    """The base interpreter, outside any virtual environment."""
    return os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)


def referee_command(mode: str, limits: Limits, zygote_fd: int) -> list[str]:
    """The referee's command line."""
    settings = {
        "zygote_fd": zygote_fd,
        "package_root": str(PACKAGE_ROOT),
        "landlock": mode in (BUBBLEWRAP, LANDLOCK),
        "readable": readable_paths(),
        "cpu_s": limits.cpu_s,
        "memory_bytes": limits.memory_bytes,
    }
    return _python(str(PACKAGE_ROOT), "referee", settings)


def zygote_command(mode: str, limits: Limits) -> list[str]:
    """The zygote's command line, with bubblewrap before it where the mode has it."""
    bubblewrap = mode in (BUBBLEWRAP, BUBBLEWRAP_ALONE)
    root = BOX_ROOT if bubblewrap else str(PACKAGE_ROOT)
    settings = {
        "contained": mode != UNSAFE,
        "bubblewrap": bubblewrap,
        "own_namespaces": OWN_NAMESPACES,
        "uid": lane_uid(),
        "landlock": mode in (BUBBLEWRAP, LANDLOCK),
        "limits": asdict(limits),
        "package_root": root,
        "readable": readable_paths() if mode == LANDLOCK else [],
        "keep_file_access": not readable_by_nobody(Path(os.__file__)),
    }
    command = _python(root, "inside.zygote", settings)
    return [*bubblewrap_command(), *command] if bubblewrap else command


def lane_uid() -> int:
    """A user id for the next lane that no one has: the kernel counts threads by it."""
    return LANE_UIDS + (os.getpid() % (1 << 16) << 12) + next(_lanes) % (1 << 12)


def _python(root: str, module: str, settings: dict[str, Any]) -> list[str]:
    return [interpreter(), *FLAGS, "-c", START.format(root=root, module=module), json.dumps(settings)]


def bubblewrap_command() -> list[str]:
    """bubblewrap with read-only system libraries, the interpreter and the box's files; nothing else."""
    command = [
        shutil.which("bwrap") or "bwrap",
        *("--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"),
        *("--hostname", "box", "--die-with-parent", "--new-session", "--clearenv"),
        *("--cap-drop", "ALL", "--cap-add", "CAP_SYS_ADMIN"),
    ]
    if os.geteuid() == 0:
        for capability in ("CAP_SETUID", "CAP_SETGID", "CAP_KILL"):
            command += ["--cap-add", capability]
    else:
        command += ["--unshare-user", "--uid", str(NOBODY), "--gid", str(NOBODY)]
    for name, value in environment().items():
        command += ["--setenv", name, value]
    command += ["--perms", "0755", "--dir", "/tmp"]
    for kind, source, target in _mounts():
        for parent in reversed(Path(target).parents[:-1]):  # bubblewrap's own let in no one but root
            command += ["--perms", "0755", "--dir", str(parent)]
        command += [kind, source, target]
    for folder in third_party_folders():
        command += ["--perms", "0755", "--tmpfs", folder, "--remount-ro", folder]
    return [*command, "--remount-ro", "/", "--chdir", "/", "--"]


def _mounts() -> list[tuple[str, str, str]]:
    """System libraries, the interpreter, and the few files of this package that the zygote imports."""
    mounts = [("--dev-bind", os.devnull, os.devnull)]
    for folder in map(Path, ("/usr/lib", "/usr/lib32", "/usr/lib64", "/lib", "/lib32", "/lib64")):
        if folder.is_symlink():
            mounts.append(("--symlink", str(folder.readlink()), str(folder)))
        elif folder.is_dir():
            mounts.append(("--ro-bind", str(folder), str(folder)))
    for path in (interpreter(), f"{sys.base_prefix}/lib"):
        if not path.startswith("/usr/lib"):
            mounts.append(("--ro-bind", path, path))
    mounts += [("--ro-bind", folder, folder) for folder in zone_folders()]
    for part in ("__init__.py", "sandbox/__init__.py", "sandbox/inside"):
        mounts.append(("--ro-bind", str(PACKAGE_ROOT / "quantbench" / part), f"{BOX_ROOT}/quantbench/{part}"))
    return mounts


def third_party_folders() -> list[str]:
    """Folders of installed packages below what the box may read."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    folders = {
        sysconfig.get_path("purelib", vars={"base": sys.base_prefix}),
        "/usr/lib/python3/dist-packages",
        *(f"/usr/lib/{version}/{kind}-packages" for kind in ("site", "dist")),
        *(f"{sys.base_prefix}/lib/{version}/{kind}-packages" for kind in ("site", "dist")),
    }
    return sorted(folder for folder in folders if Path(folder).is_dir())


@cache
def readable_paths() -> list[str]:
    """What a process under Landlock alone may read: the standard library and shared libraries."""
    library = Path(os.__file__).parent
    paths = [str(entry) for entry in library.iterdir() if not entry.name.endswith("-packages")]
    for folder in {f"{sys.base_prefix}/lib", "/usr/lib", "/usr/lib64", "/lib", "/lib64"}:
        paths += [str(file) for file in Path(folder).glob("*.so*")]
        paths += [str(triplet) for triplet in Path(folder).glob("*-linux-*")]
    return [*paths, *zone_folders(), "/etc/ld.so.cache", os.devnull]


def zone_folders() -> list[str]:
    """Where this interpreter finds time zones."""
    return [folder for folder in zoneinfo.TZPATH if Path(folder).is_dir() and not Path(folder).is_symlink()]


def readable_by_nobody(path: Path) -> bool:
    """Whether every user may reach this file."""
    return all(folder.stat().st_mode & 0o001 for folder in path.parents) and bool(path.stat().st_mode & 0o004)
