"""Takes rights away from this process, for good: namespaces, limits, identity, Landlock, seccomp.

Linux alone. Two ways of using it: with bubblewrap around the zygote, each child gets fresh namespaces and
a scratch folder; without, the zygote is under Landlock from its start and each child adds a layer of its
own. In both, a child without Landlock and seccomp never runs a program: every step raises when it fails.
"""

import ctypes
import os
import resource
import signal

from quantbench.sandbox.inside import landlock, seccomp
from quantbench.sandbox.inside.limits import Limits

NOBODY = 65534

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_KEEPCAPS = 1, 4, 8
PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT = 38, 47
PR_CAP_AMBIENT_CLEAR_ALL = 4
CLONE_NEWNS, CLONE_NEWIPC, CLONE_NEWPID = 0x00020000, 0x08000000, 0x20000000
CLONE_NEWUSER, CLONE_NEWNET, CLONE_NEWUTS, CLONE_NEWCGROUP = 0x10000000, 0x40000000, 0x04000000, 0x02000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_REC, MS_PRIVATE = 1 << 14, 1 << 18
MOUNT_SETATTR = 442  # the same on x86-64 and aarch64
AT_FDCWD, AT_RECURSIVE, MOUNT_ATTR_RDONLY = -100, 0x8000, 1
M_ARENA_MAX = -8
CAPABILITY_VERSION = 0x20080522
CAP_SETUID = 7

libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent() -> None:
    """Be killed when the process that started this one ends."""
    _checked(libc.prctl(PR_SET_PDEATHSIG, *_longs(signal.SIGKILL, 0, 0, 0)), "prctl(PDEATHSIG)")


def become_nobody(uid: int, *, keep_file_access: bool) -> None:
    """From root to a uid of no one's without a capability: this one, or 65534 where it does not exist.

    The kernel counts threads by uid: one for each lane keeps lanes from using up each other's. With
    `keep_file_access` files are still looked up as root owns them, for an interpreter in a folder that no one
    else may enter; what may be read is then for Landlock alone to say.
    """
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    if keep_file_access:
        _checked(libc.prctl(PR_SET_KEEPCAPS, *_longs(1, 0, 0, 0)), "prctl(KEEPCAPS)")
    try:
        os.setresuid(uid, uid, uid)
    except OSError:  # a container without root of its own has few users
        os.setresuid(NOBODY, NOBODY, NOBODY)
    if keep_file_access:
        set_capabilities(1 << CAP_SETUID)
        libc.setfsuid(0)
    drop_capabilities()


def drop_capabilities() -> None:
    """Have no capability and no way to get one."""
    libc.prctl(PR_CAP_AMBIENT, *_longs(PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0))
    set_capabilities(0)


def set_capabilities(mask: int) -> None:
    """Exactly these capabilities (of the first 32), effective and permitted."""
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0)
    data = (ctypes.c_uint32 * 6)(mask, mask, 0, 0, 0, 0)
    _checked(libc.capset(header, data), "capset")


def set_limits(limits: Limits) -> None:
    """The resource limits of the calling process; none can be raised again."""
    for name, value in (
        (resource.RLIMIT_AS, limits.memory_bytes),
        (resource.RLIMIT_CPU, limits.cpu_s),
        (resource.RLIMIT_FSIZE, limits.file_bytes),
        (resource.RLIMIT_NOFILE, limits.descriptors),
        (resource.RLIMIT_NPROC, limits.processes),
        (resource.RLIMIT_STACK, limits.stack_bytes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
    ):
        resource.setrlimit(name, (value, value))


def limit_cpu(limits: Limits) -> None:
    """The one limit of a program that is not contained."""
    resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu_s, limits.cpu_s))


def limit_memory(memory_bytes: int) -> None:
    """Of this process's address space."""
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))


def enter_namespaces(limits: Limits) -> None:
    """Fresh mount and ipc namespaces, in an empty scratch folder on /tmp."""
    _checked(libc.unshare(CLONE_NEWNS | CLONE_NEWIPC), "unshare")
    options = f"size={limits.scratch_bytes},nr_inodes={limits.scratch_files},mode=1777"
    flags = ctypes.c_ulong(MS_NOSUID | MS_NODEV | MS_NOEXEC)
    _checked(libc.mount(b"tmpfs", b"/tmp", b"tmpfs", flags, options.encode()), "mount /tmp")
    os.chdir("/tmp")


def enter_own_namespaces() -> bool:
    """Without bubblewrap: namespaces of its own where the kernel grants them to anyone; whether it did.

    All mounts become read-only there, so that reading leaves no access times, and /proc is hidden. Threads
    are counted by user namespace. The caller's next child is process 1 of a fresh pid namespace.
    """
    user = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID
    if libc.unshare(user | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWCGROUP) != 0:
        return False
    attributes = (ctypes.c_uint64 * 4)(MOUNT_ATTR_RDONLY, 0, 0, 0)
    at = (ctypes.c_long(AT_FDCWD), b"/", ctypes.c_ulong(AT_RECURSIVE))
    refused = (
        libc.mount(b"none", b"/", None, ctypes.c_ulong(MS_REC | MS_PRIVATE), None)
        or libc.syscall(ctypes.c_long(MOUNT_SETATTR), *at, attributes, ctypes.sizeof(attributes))
        or libc.mount(b"tmpfs", b"/proc", b"tmpfs", ctypes.c_ulong(MS_RDONLY), b"mode=555")
    )
    return not refused


def use_one_arena() -> None:
    """Keep the C library from reserving 64 MiB of address space for each of many threads."""
    if hasattr(libc, "mallopt"):
        libc.mallopt(M_ARENA_MAX, 1)


def next_child_in_new_pid_namespace(own: int | None) -> None:
    """With None: the next fork is process 1 of a fresh namespace. With a pidfd of this process: no longer."""
    if own is None:
        _checked(libc.unshare(CLONE_NEWPID), "unshare(NEWPID)")
    else:
        _checked(libc.setns(own, CLONE_NEWPID), "setns")


def restrict_files(rules: list[landlock.Rule]) -> None:
    """Reach nothing but what the rules name; no TCP, no signals or abstract sockets to the outside."""
    ruleset = landlock.create_ruleset()
    for rule in rules:
        landlock.add_rule(ruleset, rule)
    landlock.restrict(ruleset)


def restrict_calls(code: bytes) -> None:
    """Last step: the seccomp allow-list."""
    _checked(libc.prctl(PR_SET_NO_NEW_PRIVS, *_longs(1, 0, 0, 0)), "prctl(NO_NEW_PRIVS)")
    _checked(libc.prctl(PR_SET_DUMPABLE, *_longs(0, 0, 0, 0)), "prctl(DUMPABLE)")
    seccomp.install_filter(seccomp.MACHINES[os.uname().machine], code)


def reading_rules(paths: list[str]) -> list[landlock.Rule]:
    """Rules that allow reading everything beneath these paths, and writing into nothing."""
    rules = [landlock.Rule(path=path, rights=landlock.READ_FILE | landlock.READ_DIR) for path in paths]
    return [*rules, landlock.Rule(path=os.devnull, rights=landlock.READ_FILE | landlock.WRITE_FILE)]


def _longs(*values: int) -> list[ctypes.c_ulong]:
    return [ctypes.c_ulong(value) for value in values]


def _checked(result: int, what: str) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), f"{what} was refused: {os.strerror(ctypes.get_errno())}")
