"""Landlock by ctypes: which files a process may reach, for good. Source: linux/landlock.h.

A ruleset handles every right that the kernel knows (files, TCP, signals and abstract sockets to the
outside); what no rule grants is refused. What Landlock does not cover: the metadata of files (stat), and
descriptors that are already open.
"""

import ctypes
import os
import stat
from dataclasses import dataclass

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # the same on x86-64 and aarch64
VERSION_FLAG = 1
RULE_PATH_BENEATH = 1
PR_SET_NO_NEW_PRIVS = 38

WRITE_FILE, READ_FILE, READ_DIR = 1 << 1, 1 << 2, 1 << 3
# WRITE_FILE, REMOVE_DIR, REMOVE_FILE, MAKE_DIR, MAKE_REG; with later versions REFER and TRUNCATE.
SCRATCH = 1 << 1 | 1 << 4 | 1 << 5 | 1 << 7 | 1 << 8 | 1 << 13 | 1 << 14
TCP = 0b11  # BIND, CONNECT
SCOPES = 0b11  # ABSTRACT_UNIX_SOCKET, SIGNAL
FILE_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}
ON_FILES = 0xC007  # EXECUTE, WRITE_FILE, READ_FILE, TRUNCATE, IOCTL_DEV: all others need a directory

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """`rights` on everything beneath `path`."""

    path: str
    rights: int


def version() -> int:
    """The kernel's Landlock ABI; 0 where there is none."""
    none = ctypes.c_size_t(0)
    return max(0, int(_libc.syscall(CREATE_RULESET, None, none, ctypes.c_uint32(VERSION_FLAG))))


def create_ruleset() -> int:
    """A descriptor of a ruleset that handles everything this kernel's Landlock can; OSError without it."""
    abi = version()
    if abi < 1:
        raise OSError("this kernel has no Landlock (Linux 5.13 or newer with `landlock` among its LSMs)")
    ruleset = _Ruleset(FILE_RIGHTS[min(abi, 5)], TCP if abi >= 4 else 0, SCOPES if abi >= 6 else 0)
    size = 24 if abi >= 6 else 16 if abi >= 4 else 8
    return _checked(CREATE_RULESET, ctypes.byref(ruleset), ctypes.c_size_t(size), ctypes.c_uint32(0))


def add_rule(ruleset: int, rule: Rule) -> None:
    """Grant a rule's rights; a path that is not there grants nothing."""
    try:
        parent = os.open(rule.path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        rights = rule.rights & FILE_RIGHTS[min(version(), 5)]
        if not stat.S_ISDIR(os.fstat(parent).st_mode):
            rights &= ON_FILES
        beneath = _PathBeneath(rights, parent)
        arguments = (ctypes.c_int(ruleset), ctypes.c_int(RULE_PATH_BENEATH), ctypes.byref(beneath))
        _checked(ADD_RULE, *arguments, ctypes.c_uint32(0))
    finally:
        os.close(parent)


def restrict(ruleset: int) -> None:
    """Put this process and all it starts under the ruleset for good, and close the descriptor."""
    if _libc.prctl(PR_SET_NO_NEW_PRIVS, *map(ctypes.c_ulong, (1, 0, 0, 0))) != 0:
        raise OSError(ctypes.get_errno(), "no_new_privs was refused")
    _checked(RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0))
    os.close(ruleset)


def _checked(number: int, *arguments: object) -> int:
    result = int(_libc.syscall(number, *arguments))
    if result < 0:
        raise OSError(ctypes.get_errno(), "the kernel refused a Landlock call")
    return result
