"""System calls that the box refuses, each asked for by its number with arguments that mean nothing.

Whoever reaches the kernel's own code is told that the arguments are wrong; in the box the answer is that the
call is not permitted, or not there. None of them could do harm if it were looked at.
"""

from tests.sandbox.case import Case

# x86-64, aarch64; None where there is no such call.
CALLS: dict[str, tuple[int | None, int | None]] = {
    "acct": (163, 89), "add_key": (248, 217), "adjtimex": (159, 171), "bind": (49, 200), "bpf": (321, 280),
    "capset": (126, 91), "chdir": (80, 49), "chmod": (90, None), "chown": (92, None), "chroot": (161, 51),
    "clock_adjtime": (305, 266), "clock_settime": (227, 112), "connect": (42, 203), "creat": (85, None),
    "delete_module": (176, 106), "epoll_create1": (291, 20), "epoll_ctl": (233, 21), "eventfd2": (290, 19),
    "execveat": (322, 281), "fadvise64": (221, 223), "fallocate": (285, 47), "fanotify_init": (300, 262),
    "fanotify_mark": (301, 263), "fchdir": (81, 50), "fchmod": (91, 52), "fchmodat": (268, 53),
    "fchmodat2": (452, 452), "fchown": (93, 55), "fchownat": (260, 54), "fgetxattr": (193, 10),
    "finit_module": (313, 273), "flock": (73, 32), "fremovexattr": (199, 16), "fsconfig": (431, 431),
    "fsmount": (432, 432), "fsopen": (430, 430), "fspick": (433, 433), "fstatfs": (138, 44),
    "futex_waitv": (449, 449), "futimesat": (261, None), "get_mempolicy": (239, 236),
    "getpeername": (52, 205), "getpriority": (140, 141), "getsockname": (51, 204), "getxattr": (191, 8),
    "init_module": (175, 105), "inotify_add_watch": (254, 27), "inotify_init1": (294, 26),
    "io_destroy": (207, 1), "io_setup": (206, 0), "io_submit": (209, 2), "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427), "io_uring_setup": (425, 425), "ioprio_get": (252, 31),
    "ioprio_set": (251, 30), "kcmp": (312, 272), "kexec_load": (246, 104), "keyctl": (250, 219),
    "landlock_add_rule": (445, 445), "link": (86, None), "linkat": (265, 37), "listen": (50, 201),
    "listmount": (458, 458), "mbind": (237, 235), "memfd_create": (319, 279), "memfd_secret": (447, 447),
    "migrate_pages": (256, 238), "mincore": (27, 232), "mknod": (133, None), "mknodat": (259, 33),
    "mlock": (149, 228), "mlock2": (325, 284), "mount": (165, 40), "mount_setattr": (442, 442),
    "move_mount": (429, 429), "move_pages": (279, 239), "mq_open": (240, 180), "msgctl": (71, 187),
    "msgget": (68, 186), "name_to_handle_at": (303, 264), "nfsservctl": (180, 42),
    "open_by_handle_at": (304, 265), "open_tree": (428, 428), "perf_event_open": (298, 241),
    "personality": (135, 92), "pidfd_getfd": (438, 438), "pidfd_open": (434, 434),
    "pidfd_send_signal": (424, 424), "pivot_root": (155, 41), "pkey_alloc": (330, 289),
    "pkey_mprotect": (329, 288), "prctl": (157, 167), "preadv": (295, 69), "process_madvise": (440, 440),
    "process_mrelease": (448, 448), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "ptrace": (101, 117), "pwritev": (296, 70), "quotactl": (179, 60), "readahead": (187, 213),
    "recvmmsg": (299, 243), "recvmsg": (47, 212), "remap_file_pages": (216, 234), "removexattr": (197, 14),
    "request_key": (249, 218), "rt_sigqueueinfo": (129, 138), "rt_sigtimedwait": (128, 137),
    "rt_tgsigqueueinfo": (297, 240), "sched_getparam": (143, 121), "sched_setaffinity": (203, 122),
    "sched_setattr": (314, 274), "sched_setparam": (142, 118), "sched_setscheduler": (144, 119),
    "seccomp": (317, 277), "semctl": (66, 191), "semget": (64, 190), "sendfile": (40, 71),
    "sendmmsg": (307, 269), "sendmsg": (46, 211), "set_mempolicy": (238, 237), "setdomainname": (171, 162),
    "setfsgid": (123, 152), "setfsuid": (122, 151), "setgid": (106, 144), "setgroups": (116, 159),
    "sethostname": (170, 161), "setns": (308, 268), "setpriority": (141, 140), "setregid": (114, 143),
    "setrlimit": (160, 164), "setsockopt": (54, 208), "settimeofday": (164, 170), "setuid": (105, 146),
    "setxattr": (188, 5), "shmat": (30, 196), "shmctl": (31, 195), "shmget": (29, 194),
    "shutdown": (48, 210), "signalfd4": (289, 74), "socket": (41, 198), "splice": (275, 76),
    "statfs": (137, 43), "statmount": (457, 457), "swapoff": (168, 225), "swapon": (167, 224),
    "symlink": (88, None), "symlinkat": (266, 36), "sync_file_range": (277, 84), "syncfs": (306, 267),
    "sysfs": (139, None), "syslog": (103, 116), "tee": (276, 77), "timer_create": (222, 107),
    "timerfd_create": (283, 85), "tkill": (200, 130), "tgkill": (234, 131), "truncate": (76, 45),
    "umount2": (166, 39), "unshare": (272, 97), "userfaultfd": (323, 282), "ustat": (136, None),
    "utime": (132, None), "utimensat": (280, 88), "vmsplice": (278, 75), "waitid": (247, 95),
}  # fmt: skip

SOURCE = """
import ctypes, errno, os
def f(guard):
    number = {numbers}[os.uname().machine == "aarch64"]
    if number is None:
        raise PermissionError("no such call here")
    nothing = [ctypes.c_long(-1)] * 6
    result = ctypes.CDLL(None, use_errno=True).syscall(ctypes.c_long(number), *nothing)
    if result < 0 and ctypes.get_errno() in (errno.EPERM, errno.ENOSYS):
        raise PermissionError("refused")
    return "gained"
"""
# A kernel may be built without these, or tells root itself that they are not permitted.
UNSURE = {
    "acct", "adjtimex", "bpf", "capset", "chroot", "clock_adjtime", "clock_settime", "delete_module",
    "fanotify_init", "fanotify_mark", "fchmodat2", "finit_module", "fsmount", "fsopen", "fspick",
    "futex_waitv", "init_module", "io_uring_enter", "io_uring_register", "io_uring_setup", "ioprio_set",
    "kcmp", "kexec_load", "landlock_add_rule", "listmount", "memfd_secret", "migrate_pages", "mlock",
    "mlock2", "mount", "mount_setattr", "move_mount", "nfsservctl", "open_by_handle_at", "open_tree",
    "perf_event_open", "pidfd_getfd", "pivot_root", "pkey_alloc", "process_mrelease", "ptrace",
    "quotactl", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "sched_setattr", "setdomainname", "setgroups",
    "sethostname", "setns", "setpriority", "settimeofday", "statmount", "swapoff", "swapon", "syslog",
    "umount2", "unshare", "userfaultfd",
}  # fmt: skip

REFUSED_CALLS = [
    Case(
        name=f"the call {name}",
        source=SOURCE.format(numbers=numbers),
        real=name not in UNSURE and None not in numbers,
    )
    for name, numbers in CALLS.items()
]
