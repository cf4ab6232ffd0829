"""The system calls that a program may make, by their numbers, and which arguments of some: no filter yet."""

Numbers = tuple[int | None, int | None]  # x86-64, aarch64; None where there is no such call

# The most frequent stand first.
CALLS: dict[str, Numbers] = {
    "read": (0, 63),
    "write": (1, 64),
    "mmap": (9, 222),
    "munmap": (11, 215),
    "mprotect": (10, 226),
    "brk": (12, 214),
    "newfstatat": (262, 79),
    "fstat": (5, 80),
    "close": (3, 57),
    "lseek": (8, 62),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "getdents64": (217, 61),
    "exit": (60, 93),
    "exit_group": (231, 94),
    "readv": (19, 65),
    "writev": (20, 66),
    "pread64": (17, 67),
    "pwrite64": (18, 68),
    "stat": (4, None),
    "lstat": (6, None),
    "statx": (332, 291),
    "access": (21, None),
    "faccessat": (269, 48),
    "faccessat2": (439, 439),
    "getcwd": (79, 17),
    "poll": (7, None),
    "ppoll": (271, 73),
    "select": (23, None),
    "pselect6": (270, 72),
    "nanosleep": (35, 101),
    "clock_nanosleep": (230, 115),
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    "gettimeofday": (96, 169),
    "time": (201, None),
    "times": (100, 153),
    "getrusage": (98, 165),
    "getrandom": (318, 278),
    "getpid": (39, 172),
    "getppid": (110, 173),
    "gettid": (186, 178),
    "getuid": (102, 174),
    "geteuid": (107, 175),
    "getgid": (104, 176),
    "getegid": (108, 177),
    "getcpu": (309, 168),
    "getrlimit": (97, 163),
    "sched_yield": (24, 124),
    "sched_getaffinity": (204, 123),
    "sigaltstack": (131, 132),
    "set_robust_list": (273, 99),
    "set_tid_address": (218, 96),
    "rseq": (334, 293),
    "membarrier": (324, 283),
    "restart_syscall": (219, 128),
    "alarm": (37, None),
    "getitimer": (36, 102),
    "setitimer": (38, 103),
    "dup": (32, 23),
    "dup2": (33, None),
    "dup3": (292, 24),
    "pipe": (22, None),
    "pipe2": (293, 59),
    "recvfrom": (45, 207),
    "close_range": (436, 436),
    "uname": (63, 160),
    "sysinfo": (99, 179),
}

# Only where the program has a file system of its own.
SCRATCH_CALLS: dict[str, Numbers] = {
    "mkdir": (83, None),
    "mkdirat": (258, 34),
    "rmdir": (84, None),
    "unlink": (87, None),
    "unlinkat": (263, 35),
    "rename": (82, None),
    "renameat": (264, 38),
    "renameat2": (316, 276),
    "readlink": (89, None),
    "readlinkat": (267, 78),
    "ftruncate": (77, 46),
    "fsync": (74, 82),
    "fdatasync": (75, 83),
}

OPEN: Numbers = (2, None)
OPENAT: Numbers = (257, 56)
FCNTL, IOCTL = (72, 25), (16, 29)
CLONE, CLONE3 = (56, 220), (435, 435)
PRLIMIT = (302, 261)
FUTEX = (202, 98)
SOCKETPAIR, SENDTO = (53, 199), (44, 206)
OPENAT2 = (437, 437)

# open: O_WRONLY, O_RDWR, O_CREAT, O_TRUNC, O_APPEND, and the bit that makes O_TMPFILE.
WRITING = 0o3 | 0o100 | 0o1000 | 0o2000 | 0o20000000
# fcntl: F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC; no F_SETOWN, which can signal others.
FCNTL_COMMANDS = (0, 1, 2, 3, 4, 1030)
# ioctl: TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX.
IOCTL_COMMANDS = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
FUTEX_PRIVATE, FUTEX_COMMAND, FUTEX_WAIT, FUTEX_WAIT_BITSET = 128, 0x7F, 0, 9
AF_UNIX, SOCK_STREAM, SOCK_KIND, MSG_OOB = 1, 1, 0xF, 1
CLONE_THREAD = 0x00010000
# clone: PTRACE, VFORK, PARENT, PIDFD, UNTRACED, IO and every CLONE_NEW flag.
CLONE_REFUSED = 0x2000 | 0x4000 | 0x8000 | 0x1000 | 0x00800000 | 0x80000000 | 0x7E020000
