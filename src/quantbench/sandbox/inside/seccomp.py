"""A seccomp allow-list written by hand as BPF, so that no library is needed: x86-64 and aarch64.

Everything that is not listed fails with EPERM; a call of another architecture (or of x32) kills the
process. Listed calls can compute, use the descriptors they hold, start threads and read files (Landlock
says which). Not listed, among others: socket, execve, fork, kill and its relatives, ptrace, process_vm,
memfd, SysV and POSIX shared memory, mount, unshare, setns, bpf, io_uring, userfaultfd, perf, keyctl.
Source of the structures: linux/filter.h, linux/seccomp.h, linux/audit.h.
"""

import ctypes
import errno
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from quantbench.sandbox.inside.system_calls import (
    AF_UNIX,
    CALLS,
    CLONE,
    CLONE3,
    CLONE_REFUSED,
    CLONE_THREAD,
    FCNTL,
    FCNTL_COMMANDS,
    FUTEX,
    FUTEX_COMMAND,
    FUTEX_PRIVATE,
    FUTEX_WAIT,
    FUTEX_WAIT_BITSET,
    IOCTL,
    IOCTL_COMMANDS,
    MSG_OOB,
    OPEN,
    OPENAT,
    OPENAT2,
    PRLIMIT,
    SCRATCH_CALLS,
    SENDTO,
    SOCK_KIND,
    SOCK_STREAM,
    SOCKETPAIR,
    WRITING,
    Numbers,
)

KILL_PROCESS = 0x80000000
ALLOW = 0x7FFF0000
DENY = 0x00050000 | errno.EPERM
ABSENT = 0x00050000 | errno.ENOSYS
AGAIN = 0x00050000 | errno.EAGAIN

LOAD = 0x20  # BPF_LD | BPF_W | BPF_ABS
EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
AT_LEAST = 0x35  # BPF_JMP | BPF_JGE | BPF_K
ANY_BIT = 0x45  # BPF_JMP | BPF_JSET | BPF_K
AND = 0x54  # BPF_ALU | BPF_AND | BPF_K
RETURN = 0x06  # BPF_RET | BPF_K

NUMBER_AT, ARCH_AT, ARGS_AT = 0, 4, 16  # offsets in struct seccomp_data
X32_BIT = 0x40000000
SET_MODE_FILTER = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """One architecture: its audit number, its column in the tables, the number of seccomp(2) itself."""

    audit: int
    column: int
    seccomp: int


MACHINES = {
    "x86_64": Machine(audit=0xC000003E, column=0, seccomp=317),
    "aarch64": Machine(audit=0xC00000B7, column=1, seccomp=277),
}

Instruction = tuple[int, int, int, int]  # code, jump if true, jump if false, constant


def build_filter(machine: Machine, *, scratch: bool) -> bytes:
    """The filter as an array of struct sock_filter; with `scratch`, files may also be made and written."""
    code: list[Instruction] = [
        (LOAD, 0, 0, ARCH_AT),
        (EQUAL, 1, 0, machine.audit),
        (RETURN, 0, 0, KILL_PROCESS),
        (LOAD, 0, 0, NUMBER_AT),
    ]
    if machine.column == 0:
        code += [(AT_LEAST, 0, 1, X32_BIT), (RETURN, 0, 0, KILL_PROCESS)]
    calls = CALLS | (SCRATCH_CALLS | {"open": OPEN, "openat": OPENAT} if scratch else {})
    for numbers in calls.values():
        code += _when(numbers[machine.column], [(RETURN, 0, 0, ALLOW)])
    for numbers, rule in _argument_rules(scratch):
        code += _when(numbers[machine.column], rule)
    code.append((RETURN, 0, 0, DENY))
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code)


def install_filter(machine: Machine, code: bytes) -> None:
    """Put this thread and all it starts under the filter for good; needs no_new_privs. OSError if refused."""
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(code, len(code))
    program = _Program(len(code) // 8, ctypes.addressof(buffer))
    libc.syscall.argtypes = [ctypes.c_long, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_void_p]
    if libc.syscall(machine.seccomp, SET_MODE_FILTER, 0, ctypes.addressof(program)) != 0:
        raise OSError(ctypes.get_errno(), "the kernel refused the seccomp filter")


class _Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def _argument_rules(scratch: bool) -> list[tuple[Numbers, list[Instruction]]]:
    """Calls that are allowed with some arguments only."""
    rules: list[tuple[Numbers, list[Instruction]]] = [
        (FCNTL, _one_of(1, FCNTL_COMMANDS)),
        (IOCTL, _one_of(1, IOCTL_COMMANDS)),
        (CLONE, _thread_only()),
        (CLONE3, [(RETURN, 0, 0, ABSENT)]),
        (OPENAT2, [(RETURN, 0, 0, ABSENT)]),
        (PRLIMIT, _read_own_limits()),
        (FUTEX, _private_futex()),
        (SOCKETPAIR, _stream_pair()),
        (SENDTO, _send_to_no_address()),
    ]
    if not scratch:
        rules += [(OPEN, _no_bits(1, WRITING)), (OPENAT, _no_bits(2, WRITING))]
    return rules


def _when(number: int | None, rule: list[Instruction]) -> list[Instruction]:
    """The rule for one call; every rule ends in a return, so the number in the accumulator is not lost."""
    return [] if number is None else [(EQUAL, 0, len(rule), number), *rule]


def _low(argument: int) -> Instruction:
    return (LOAD, 0, 0, ARGS_AT + 8 * argument)


def _high(argument: int) -> Instruction:
    return (LOAD, 0, 0, ARGS_AT + 8 * argument + 4)


def _one_of(argument: int, values: Sequence[int]) -> list[Instruction]:
    count = len(values)
    tests = [(EQUAL, count - index, 0, value) for index, value in enumerate(values)]
    return [_low(argument), *tests, (RETURN, 0, 0, DENY), (RETURN, 0, 0, ALLOW)]


def _no_bits(argument: int, bits: int) -> list[Instruction]:
    return [_low(argument), (ANY_BIT, 0, 1, bits), (RETURN, 0, 0, DENY), (RETURN, 0, 0, ALLOW)]


def _thread_only() -> list[Instruction]:
    return [
        _low(0),
        (ANY_BIT, 0, 1, CLONE_THREAD),
        (ANY_BIT, 0, 1, CLONE_REFUSED),
        (RETURN, 0, 0, DENY),
        (RETURN, 0, 0, ALLOW),
    ]


def _private_futex() -> list[Instruction]:
    """Futexes of this process alone: one on a page of a file would be seen by others who read that file.

    The C library waits on a shared one for a thread's end; told to try again, it looks whether it is there.
    """
    return [
        _low(1),
        (ANY_BIT, 0, 1, FUTEX_PRIVATE),
        (RETURN, 0, 0, ALLOW),
        (AND, 0, 0, FUTEX_COMMAND),
        (EQUAL, 1, 0, FUTEX_WAIT),
        (EQUAL, 0, 1, FUTEX_WAIT_BITSET),
        (RETURN, 0, 0, AGAIN),
        (RETURN, 0, 0, DENY),
    ]


def _stream_pair() -> list[Instruction]:
    """A pair of connected unix stream sockets, which can reach nothing but each other (asyncio makes one)."""
    deny = (RETURN, 0, 0, DENY)
    return [
        _low(0),
        (EQUAL, 1, 0, AF_UNIX),
        deny,
        _low(1),
        (AND, 0, 0, SOCK_KIND),
        (EQUAL, 1, 0, SOCK_STREAM),
        deny,
        (RETURN, 0, 0, ALLOW),
    ]


def _send_to_no_address() -> list[Instruction]:
    """send() on a connected socket."""
    deny = (RETURN, 0, 0, DENY)
    return [
        _low(4),
        (EQUAL, 1, 0, 0),
        deny,
        _high(4),
        (EQUAL, 1, 0, 0),
        deny,
        _low(3),
        (ANY_BIT, 0, 1, MSG_OOB),
        deny,
        (RETURN, 0, 0, ALLOW),
    ]


def _read_own_limits() -> list[Instruction]:
    """prlimit64(0, resource, NULL, old): reading one's own limits."""
    deny = (RETURN, 0, 0, DENY)
    return [
        _low(0),
        (EQUAL, 1, 0, 0),
        deny,
        _low(2),
        (EQUAL, 1, 0, 0),
        deny,
        _high(2),
        (EQUAL, 1, 0, 0),
        deny,
        (RETURN, 0, 0, ALLOW),
    ]
