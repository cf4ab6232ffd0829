"""Programs that reach for what is not theirs; f(guard) returns "gained" when it could.

`guard` is a folder of the host that everyone may read and write, with a file `secret` in it. `real` cases
work without a sandbox, which a test shows, so that none is stopped by a mistake of its own.
"""

# ruff: noqa: E501 (one case, one place)

from textwrap import dedent, indent

from tests.sandbox.case import Case

HEAD = """
import ctypes, os, sys
def call(x86, arm, *arguments):
    number = arm if os.uname().machine == "aarch64" else x86
    result = ctypes.CDLL(None, use_errno=True).syscall(ctypes.c_long(number), *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), "refused")
    return result
def f(guard):
    secret = guard + "/secret"
"""


def _case(name: str, body: str, *, real: bool = True) -> Case:
    return Case(
        name=name, source=HEAD + indent(dedent(body).strip(), "    ") + '\n    return "gained"\n', real=real
    )


FILES = [
    _case("read /etc/passwd", "open('/etc/passwd').read()"),
    _case("read a file of the user", "open(secret).read()"),
    _case("read through O_PATH", """
        fd = os.open(secret, os.O_PATH)
        open(f"/proc/self/fd/{fd}").read()
    """),
    _case("read by mmap", "import mmap\nmmap.mmap(os.open(secret, os.O_RDONLY), 1, prot=mmap.PROT_READ)"),
    _case("read through a changed folder", "os.chdir(guard)\nopen('secret').read()"),
    _case("list a folder", "os.listdir(guard)"),
    _case("list the settings of the system", "os.listdir('/etc')"),
    _case("read the environment of a process", "open('/proc/self/environ').read()"),
    _case("read the memory of a process", "open('/proc/self/mem', 'rb')"),
    _case("list the processes", "assert any(name.isdigit() for name in os.listdir('/proc'))"),
    _case("find a token in the environment", """
        assert any(word in name for name in os.environ for word in ("TOKEN", "KEY", "HF_", "HOME"))
    """, real=False),
    _case("read the product's own tests and tasks", """
        import importlib.util
        root = os.path.dirname(os.path.dirname(sys.modules["quantbench.sandbox.inside.runner"].__file__))
        open(root + "/referee.py").read()
    """),
    _case("import an installed package", """
        for folder in (sys.prefix, "/usr", "/usr/local"):
            for root in (f"{folder}/lib/python{sys.version_info.major}.{sys.version_info.minor}", f"{folder}/lib/python3"):
                sys.path += [root + "/site-packages", root + "/dist-packages"]
        for root in sys.path:
            if root.endswith("-packages") and os.path.isdir(root) and os.listdir(root):
                return "gained"
        raise ImportError
    """, real=False),
    _case("write a new file", "open(guard + '/new', 'w').write('x')"),
    _case("append to a file", "open(secret, 'a').write('x')"),
    _case("truncate a file", "os.truncate(secret, 0)"),
    _case("open a file for writing, unchanged", "os.close(os.open(secret, os.O_WRONLY))"),
    _case("make a nameless file", "os.open(guard, os.O_TMPFILE | os.O_RDWR, 0o600)", real=False),
    _case("delete a file", "os.unlink(secret)"),
    _case("rename a file", "os.rename(secret, guard + '/other')"),
    _case("make a folder", "os.mkdir(guard + '/folder')"),
    _case("remove a folder", "os.rmdir(guard + '/empty')"),
    _case("make a symbolic link", "os.symlink('/etc/passwd', guard + '/link')"),
    _case("make a hard link", "os.link(secret, guard + '/hard')"),
    _case("change a file's mode", "os.chmod(secret, 0o600)"),
    _case("change a file's owner", "os.chown(secret, 65534, 65534)", real=False),
    _case("change a file's times", "os.utime(secret, (1, 1))"),
    _case("set an extended attribute", "os.setxattr(secret, 'user.x', b'1')", real=False),
    _case("make a pipe with a name", "os.mkfifo(guard + '/pipe')"),
    _case("make a device", "os.mknod(guard + '/device', 0o20666, os.makedev(1, 3))", real=False),
    _case("write to a library", "open(os.__file__, 'a')", real=False),
    _case("write to a kernel setting", "open('/proc/sys/kernel/core_pattern', 'w')", real=False),
    _case("open a disk", """
        for name in ("vda", "sda", "nvme0n1", "mem", "kmsg"):
            try: os.open("/dev/" + name, os.O_RDONLY)
            except OSError: continue
            return "gained"
        raise OSError
    """, real=False),
    _case("allocate beyond the quota by fallocate", "os.posix_fallocate(os.open(guard + '/big', os.O_CREAT | os.O_RDWR), 0, 9)"),
    _case("mount", "call(165, 40, b'tmpfs', guard.encode(), b'tmpfs', 0, None)", real=False),
    _case("change the root", "os.chroot(guard)", real=False),
]  # fmt: skip

PROCESSES = [
    _case("fork", "os._exit(0) if os.fork() == 0 else os.wait()"),
    _case("fork into a daemon", """
        if os.fork() == 0:
            os.setsid()
            os._exit(0)
        os.wait()
    """),
    _case("subprocess", "import subprocess\nsubprocess.run(['/bin/true'], check=True)"),
    _case("os.system", "assert os.system('exit 7') == 7 << 8"),
    _case("posix_spawn", "os.waitpid(os.posix_spawn('/bin/true', ['true'], {}), 0)"),
    _case("multiprocessing", """
        import multiprocessing
        process = multiprocessing.get_context("fork").Process(target=print)
        process.start()
        process.join()
    """),
    _case("vfork by number", "os._exit(0) if call(58, 220, 0x4111) == 0 else None", real=False),
    _case("clone by number", "os._exit(0) if call(56, 220, 17, 0, 0, 0, 0) == 0 else None"),
    _case("clone3 by number", """
        arguments = (ctypes.c_uint64 * 11)(0, 0, 0, 0, 17)
        os._exit(0) if call(435, 435, arguments, 88) == 0 else None
    """),
    _case("become another program", "os.execv('/bin/true', ['true'])", real=False),
    _case("become the interpreter again", "os.execv(sys.executable, [sys.executable, '-c', ''])", real=False),
    _case("signal 0 to its parent", "os.kill(os.getppid(), 0)"),
    _case("signal 0 to everyone", "os.kill(-1, 0)", real=False),
    _case("signal its group", "os.killpg(0, 0)"),
    _case("signal 0 to a thread of its parent", "call(234, 131, os.getppid(), os.getppid(), 0)"),
    _case("a queued signal", "info = (ctypes.c_int * 32)(0, 0, -1)\ncall(129, 138, os.getppid(), 0, info)", real=False),
    _case("a handle on its parent", "os.pidfd_open(os.getppid() or 1)"),
    _case("a signal by file owner", """
        import fcntl
        fcntl.fcntl(os.pipe()[0], 8, os.getppid() or 1)
    """),
    _case("trace its parent", "call(101, 117, 0x4206, os.getppid() or 1, 0, 0)", real=False),
    _case("be traced", "call(101, 117, 0, 0, 0, 0)", real=False),
    _case("read its parent's memory", """
        local = (ctypes.c_uint64 * 2)(id(guard), 8)
        call(310, 270, os.getppid() or 1, local, 1, local, 1, 0)
    """, real=False),
    _case("renice its parent", "os.setpriority(os.PRIO_PROCESS, os.getppid(), os.getpriority(os.PRIO_PROCESS, os.getppid()))"),
    _case("renice itself", "os.nice(1)"),
    _case("choose its scheduler", "os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))"),
    _case("choose its cores", "os.sched_setaffinity(0, os.sched_getaffinity(0))"),
    _case("limit its parent", """
        import resource
        resource.prlimit(os.getppid() or 1, resource.RLIMIT_CORE, (0, 0))
    """, real=False),
    _case("raise its own limits", """
        import resource
        resource.setrlimit(resource.RLIMIT_CPU, resource.getrlimit(resource.RLIMIT_CPU))
    """),
    _case("a session of its own", "import signal\nos.setpgid(0, 0)\nos.setsid()", real=False),
    _case("die without its parent", "call(157, 167, 1, 0, 0, 0, 0)"),
]  # fmt: skip

KERNEL = [
    _case("be root", "os.setuid(0)\nassert os.getuid() == 0", real=False),
    _case("be root in fact already", "assert 0 in os.getresuid()", real=False),
    _case("have a group of root", "assert 0 in os.getgroups()", real=False),
    _case("have a capability", """
        header, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
        call(125, 90, header, data)
        assert any(data)
    """, real=False),
    _case("a user namespace", "call(272, 97, 0x10000000)", real=False),
    _case("a mount namespace", "call(272, 97, 0x20000)", real=False),
    _case("a network namespace", "call(272, 97, 0x40000000)", real=False),
    _case("a clone in a user namespace", "os._exit(0) if call(56, 220, 0x10000011, 0, 0, 0, 0) == 0 else None", real=False),
    _case("another's namespace", "call(308, 268, os.pidfd_open(os.getppid() or 1), 0x20000000)", real=False),
    _case("an IPv4 socket", "import socket\nsocket.socket().close()"),
    _case("a server on the loopback", "import socket\nsocket.create_server(('127.0.0.1', 0)).close()"),
    _case("an IPv6 socket", "import socket\nsocket.socket(socket.AF_INET6).close()", real=False),
    _case("a datagram", "import socket\nsocket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 9))"),
    _case("a raw socket", "import socket\nsocket.socket(socket.AF_INET, socket.SOCK_RAW, 1).close()", real=False),
    _case("a packet socket", "import socket\nsocket.socket(17, socket.SOCK_RAW, 0).close()", real=False),
    _case("a netlink socket", "import socket\nsocket.socket(16, socket.SOCK_RAW, 0).close()", real=False),
    _case("a kernel-crypto socket", "import socket\nsocket.socket(38, socket.SOCK_SEQPACKET).close()", real=False),
    _case("a virtual-machine socket", "import socket\nsocket.socket(40, socket.SOCK_STREAM).close()", real=False),
    _case("a unix socket", "import socket\nsocket.socket(socket.AF_UNIX).bind(guard + '/socket')"),
    _case("an abstract unix socket", "import socket\nsocket.socket(socket.AF_UNIX).bind('\\0quantbench')"),
    _case("a pair of datagram sockets", "import socket\nsocket.socketpair(type=socket.SOCK_DGRAM)"),
    _case("a name looked up", "import socket\nsocket.getaddrinfo('localhost', 80)", real=False),
    _case("a descriptor sent by its own channel", """
        import socket
        socket.send_fds(socket.socket(fileno=3), [b"x"], [0])
    """, real=False),
    _case("a page fetched", "import urllib.request\nurllib.request.urlopen('http://127.0.0.1:9')", real=False),
    _case("a file in memory", "os.memfd_create('x')"),
    _case("a secret file in memory", "call(447, 447, 0)", real=False),
    _case("System V shared memory", "call(31, 195, call(29, 194, 0, 4096, 0o1600), 0, None)"),
    _case("a System V semaphore", "call(66, 191, call(64, 190, 0, 1, 0o1600), 0, 0, 0)"),
    _case("a System V message queue", "call(71, 187, call(68, 186, 0, 0o1600), 0, None)"),
    _case("POSIX shared memory", """
        from multiprocessing import shared_memory
        shared_memory.SharedMemory(create=True, size=16).unlink()
    """, real=False),
    _case("a POSIX message queue", "call(240, 180, b'quantbench', 0o102, 0o600, None)\ncall(241, 181, b'quantbench')", real=False),
    _case("a POSIX semaphore", """
        library = ctypes.CDLL(None)
        library.sem_open.restype = ctypes.c_void_p
        if not library.sem_open(b"/quantbench", 0o102, 0o600, 1): raise OSError
    """, real=False),
    _case("a key of the kernel", "call(248, 217, b'user', b'quantbench', b'x', 1, -1)", real=False),
    _case("a keyring", "call(250, 219, 0, -3, 1)", real=False),
    _case("a BPF program", "call(321, 280, 0, (ctypes.c_uint32 * 16)(2, 4, 4, 1), 64)", real=False),
    _case("io_uring", "call(425, 425, 1, (ctypes.c_uint32 * 30)())", real=False),
    _case("page faults by hand", "call(323, 282, 1)", real=False),
    _case("performance counters", "call(298, 241, (ctypes.c_uint64 * 16)(1 | 128 << 32, 1), 0, -1, -1, 0)", real=False),
    _case("a watch on files", "call(294, 26, 0)"),
    _case("a watch on a file system", "call(300, 262, 0, 0)", real=False),
    _case("the kernel's log", "call(103, 116, 3, ctypes.create_string_buffer(64), 64)", real=False),
    _case("the machine's name", "import socket\nsocket.sethostname(os.uname().nodename)", real=False),
    _case("the clock", "import time\ntime.clock_settime(time.CLOCK_REALTIME, time.time())", real=False),
    _case("a terminal's input", "import fcntl\nfcntl.ioctl(0, 0x5412, b'x')", real=False),
    _case("another personality", "call(135, 92, 0x0040000)"),
    _case("a filter of its own", "call(317, 277, 1, 0, ctypes.create_string_buffer(16))", real=False),
    _case("a file by handle", "call(304, 265, -100, ctypes.create_string_buffer(128), 0)", real=False),
    _case("bytes moved inside the kernel", "import os\na, b = os.pipe()\nos.write(b, b'x')\ncall(276, 77, a, os.pipe()[1], 1, 0)"),
    _case("pages locked in memory", "call(149, 228, id(guard) & ~4095, 4096)", real=False),
    _case("wait where another that reads the same file may wake", """
        page = ctypes.cast(ctypes.CDLL(None).labs, ctypes.c_void_p).value & ~4095
        value, short = ctypes.c_uint32.from_address(page).value, (ctypes.c_long * 2)(0, 1000)
        try: call(202, 98, ctypes.c_void_p(page), 0, value, short)
        except OSError as error: assert error.errno == 110, "it did not wait"
    """),
    _case("wake who waits on a page of the same file", """
        page = ctypes.cast(ctypes.CDLL(None).labs, ctypes.c_void_p).value & ~4095
        call(202, 98, ctypes.c_void_p(page), 1, 1)
    """),
    _case("read where a link leads", "assert os.readlink('/proc/self/exe')"),
    _case("read the links of the host", "os.symlink('/etc/passwd', '/tmp/quantbench-link')\nos.readlink('/tmp/quantbench-link')\nassert os.path.exists('/etc')", real=False),
    _case("see another process", "assert os.stat('/proc/%d' % (os.getppid() or 2))"),
    _case("see the processes by number", "assert any(os.path.exists(f'/proc/{n}') for n in range(1, 3000))"),
    _case("send a descriptor to itself", """
        import socket
        a, b = socket.socketpair()
        socket.send_fds(a, [b"x"], [0])
    """),
    _case("send out of band", "import socket\nsocket.socketpair()[0].send(b'x', socket.MSG_OOB)", real=False),
    _case("send to an address", """
        import socket
        a, b = socket.socketpair()
        a.sendto(b"x", "/tmp/nowhere")
    """, real=False),
    _case("wait by epoll", "import select\nselect.epoll()"),
    _case("a 32-bit call", """
        import mmap
        if os.uname().machine != "x86_64": raise OSError
        code = mmap.mmap(-1, 4096, prot=7)
        code.write(bytes.fromhex("b814000000cd80c3"))  # getpid by int 0x80
        ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))()
    """, real=False),
    _case("an x32 call", "call(0x40000000 | 39, 999)", real=False),
]  # fmt: skip

CAPABILITIES = [*FILES, *PROCESSES, *KERNEL]
