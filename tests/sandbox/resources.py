"""Programs that take without end. Each runs under small limits: 1 s of CPU, 256 MiB, its own wall time."""

# ruff: noqa: E501 (one case, one place)

from tests.sandbox.case import SURVIVED, Case

SHORT = 0.25


def _case(name: str, source: str, *, seconds: float = SHORT, may_pass: bool = False) -> Case:
    return Case(name=name, source=source, seconds=seconds, may_pass=may_pass, test=SURVIVED)


TIME = [
    _case("an endless loop", "def f():\n    while True: pass", seconds=4),
    _case("an endless loop while loading", "while True: pass"),
    _case("a swallowed BaseException", """
        def f():
            while True:
                try:
                    while True: pass
                except BaseException: pass
    """),
    _case("every signal ignored", """
        import signal
        for number in range(1, 65):
            try: signal.signal(number, signal.SIG_IGN)
            except (OSError, ValueError): pass
        def f():
            while True: pass
    """),
    _case("every signal blocked", """
        import signal
        def f():
            signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
            while True: pass
    """),
    _case("a long sleep", "import time\ndef f():\n    time.sleep(1000)"),
    _case("a sleep in small pieces", "import time\ndef f():\n    while True: time.sleep(0.001)"),
    _case("a wait for a signal", "import signal\ndef f():\n    signal.pause()"),
    _case("a wait for input", "import select\ndef f():\n    while True: select.select([], [], [], 9)"),
    _case("input that never comes", "def f():\n    return input()"),
    _case("a lock taken twice", "import threading\ndef f():\n    a = threading.Lock()\n    a.acquire()\n    a.acquire()"),
    _case("stopping itself", "import os, signal\ndef f():\n    os.kill(os.getpid(), signal.SIGSTOP)"),
    _case("a huge power", "def f():\n    return 9 ** 9 ** 9"),
    _case("a huge factorial", "import math\ndef f():\n    return math.factorial(10 ** 8)"),
    _case("backtracking", "import re\ndef f():\n    return re.match('(a+)+$', 'a' * 64 + 'b')"),
    _case("an endless generator", "def f():\n    while True: yield 1"),
    _case("a generator that sleeps", "import time\ndef f():\n    while True: yield time.sleep(0.05)"),
    _case("endless iteration inside C", "import itertools\ndef f():\n    return sum(itertools.repeat(0))"),
    _case("hanging at exit", "import atexit, time\natexit.register(time.sleep, 99)\ndef f():\n    raise SystemExit"),
    _case("hanging when deleted", """
        class D:
            def __del__(self):
                while True: pass
        def f():
            D()
    """),
    _case("busy threads", """
        import threading
        def loop():
            while True: pass
        def f():
            for _ in range(8): threading.Thread(target=loop).start()
            loop()
    """),
    _case("threads that outlive the answer", """
        import threading
        def loop():
            while True: pass
        def f():
            threading.Thread(target=loop).start()
            return "survived"
    """, may_pass=True),
    _case("a storm of timers", """
        import signal
        signal.signal(signal.SIGALRM, lambda *_: None)
        signal.setitimer(signal.ITIMER_REAL, 0.00001, 0.00001)
        def f():
            while True: pass
    """),
]  # fmt: skip

MEMORY = [
    _case("a list that grows", "def f():\n    a = []\n    while True: a.append(' ' * 100000)", seconds=5),
    _case("one huge block", "def f():\n    return len(bytearray(10 ** 11))", seconds=5),
    _case("a huge mapping", "import mmap\ndef f():\n    return len(mmap.mmap(-1, 10 ** 11))", seconds=5),
    _case("shared mappings", """
        import mmap
        kept = []
        def f():
            while True:
                kept.append(mmap.mmap(-1, 1 << 22))
                kept[-1].write(b"x" * (1 << 22))
    """, seconds=5),
    _case("text doubled", "def f():\n    a = 'x'\n    while True: a += a", seconds=5),
    _case("memory filled while loading", "a = [0]\nwhile True: a += a\n", seconds=5),
    _case("memory filled for good", """
        kept = []
        def fill():
            try:
                while True: kept.append(bytearray(1 << 16))
            except MemoryError:
                while True:
                    try: kept.append(object())
                    except MemoryError: pass
        def f(): fill()
    """),
    _case("a bomb of zeros", """
        import zlib
        def f():
            packed = zlib.compress(bytes(1 << 20)) * 1
            return len(b"".join(zlib.decompress(packed) for _ in range(1 << 12)))
    """, seconds=5),
    _case("a product of everything", "import itertools\ndef f():\n    return list(itertools.product(range(99), repeat=5))", seconds=5),
    _case("nested doubling", "def f():\n    a = ['x']\n    for _ in range(40): a = [a] * 10\n    return a"),
    _case("a bomb for the compiler", "def f():\n    return eval('(' * 150 + '1' + ',)' * 150 + '*9' * 9999)", seconds=5),
    _case("a constant folded", "def f():\n    return eval('((1<<99999)' + '*9**99999' * 40 + ')')"),
    _case("threads without end", """
        import threading, time
        threading.stack_size(32768)
        def f():
            count = 0
            while True:
                threading.Thread(target=time.sleep, args=(99,)).start()
                count += 1
                assert count < 5000, "no limit"
    """, seconds=5),
    _case("forks without end", "import os\ndef f():\n    while True: os.fork()", seconds=5),
    _case("forks without end, errors ignored", """
        import os
        def f():
            while True:
                try: os.fork()
                except OSError: pass
    """),
]  # fmt: skip

STORAGE = [
    _case("the scratch folder filled", """
        def f():
            with open("/tmp/big", "wb") as file:
                for _ in range(64): file.write(bytes(1 << 20))
            return "survived"
    """, seconds=5),
    _case("the scratch folder filled in pieces", """
        def f():
            for number in range(64):
                with open(f"/tmp/{number}", "wb") as file: file.write(bytes(1 << 20))
            return "survived"
    """, seconds=5),
    _case("a file with a hole", """
        import os
        def f():
            with open("/tmp/big", "wb") as file: file.truncate(1 << 40)
            return "survived"
    """, seconds=5),
    _case("files without end", """
        def f():
            for number in range(2000): open(f"/tmp/{number}", "w").close()
            return "survived"
    """, seconds=5),
    _case("folders without end", """
        import os
        def f():
            path = "/tmp"
            for _ in range(1000):
                path += "/x"
                os.mkdir(path)
            return "survived"
    """, seconds=5),
    _case("descriptors without end", """
        import os
        def f():
            kept = [os.open("/dev/null", os.O_RDONLY) for _ in range(5000)]
            return "survived"
    """, seconds=5),
    _case("pipes without end", "import os\ndef f():\n    return [os.pipe() for _ in range(5000)] and 'survived'", seconds=5),
    _case("a pipe that no one empties", "import os\ndef f():\n    os.write(os.pipe()[1], bytes(1 << 24))"),
    _case("hundreds of megabytes printed", "def f():\n    for _ in range(300): print('x' * (1 << 20))\n    return 'survived'", seconds=4, may_pass=True),
    _case("hundreds of megabytes of errors", """
        import sys
        def f():
            for _ in range(300): sys.stderr.write('x' * (1 << 20))
            return 'survived'
    """, seconds=4, may_pass=True),
]  # fmt: skip

CRASHES = [
    _case("deep recursion", "def f():\n    return f()", seconds=5),
    _case("deep recursion in C", """
        import sys
        sys.setrecursionlimit(10 ** 9)
        class R:
            def __repr__(self): return repr([self])
        def f(): return repr(R())
    """, seconds=5),
    _case("a null pointer", "import ctypes\ndef f():\n    return ctypes.string_at(0)", seconds=5),
    _case("a jump into nowhere", "import ctypes\ndef f():\n    ctypes.CFUNCTYPE(None)(1)()", seconds=5),
    _case("abort", "import os\ndef f():\n    os.abort()", seconds=5),
    _case("freed twice", """
        import ctypes
        def f():
            free = ctypes.CDLL(None).free
            free.argtypes = [ctypes.c_void_p]
            for _ in range(2): free(id(f) + 8)
    """, seconds=5),
    _case("its descriptors closed", "import os\ndef f():\n    os.closerange(0, 99)\n    return 'survived'", seconds=5),
    _case("the interpreter's parts deleted", """
        import sys
        def f():
            sys.modules.clear()
            __builtins__.clear() if isinstance(__builtins__, dict) else vars(__builtins__).clear()
            raise ValueError
    """, seconds=2),
]  # fmt: skip

SEND = """
import os, struct, time
def send(number, body):
    data = struct.pack("!II", len(body), number) + body
    while data: data = data[os.write(3, data):]
"""

REPLIES = [
    _case("a reply of 100 MB", "def f():\n    return 'x' * 10 ** 8", seconds=5),
    _case("a reply over the limit, sent by itself", SEND + "def f():\n    send(2, b'9' * (65 << 20))", seconds=5),
    _case("a length of 4 GiB", "import os\ndef f():\n    os.write(3, bytes([255] * 8))\n    while True: os.write(3, b'x' * 65536)", seconds=5),
    _case("a reply in drops", """
        import os, time
        def f():
            os.write(3, bytes([0, 0, 255, 255, 0, 0, 0, 2]))
            while True:
                os.write(3, b" ")
                time.sleep(0.01)
    """),
    _case("replies without end", SEND + "def f():\n    while True: send(2, b'[\"value\",1,[]]')", seconds=5),
    _case("noise for a reply", "import os\ndef f():\n    os.write(3, os.urandom(4096))\n    return 1", seconds=5),
    _case("not JSON", SEND + "def f():\n    send(2, b'survived')", seconds=5),
    _case("not UTF-8", SEND + "def f():\n    send(2, b'[\"value\",\"\\xff\\xfe\",[]]')", seconds=5),
    _case("an object for a reply", SEND + "def f():\n    send(2, b'{\"value\":\"survived\"}')", seconds=5),
    _case("too many parts", SEND + "def f():\n    send(2, b'[\"value\",1,[],2]')", seconds=5),
    _case("an unknown kind", SEND + "def f():\n    send(2, b'[\"passed\",\"survived\",[]]')", seconds=5),
    _case("a wrong number", SEND + "def f():\n    send(7, b'[\"value\",\"survived\",[]]')", seconds=5),
    _case("JSON nested without end", SEND + "def f():\n    send(2, b'[' * 20000000)", seconds=5),
    _case("tags nested without end", SEND + "def f():\n    send(2, b'[\"value\",' + b'[\"list\",[' * 2000 + b']]' * 2000 + b',[]]')", seconds=5),
    _case("an integer of 8 million digits", SEND + "def f():\n    send(2, b'[\"value\",' + b'9' * 8000000 + b',[]]')", seconds=5),
    _case("a huge integer in hexadecimal", SEND + "def f():\n    send(2, b'[\"value\",[\"int\",\"0x' + b'f' * 8000000 + b'\"],[]]')", seconds=5),
    _case("a set whose items all collide", """
        def f():
            return [i * (2 ** 61 - 1) for i in range(200000)]
        import sys
        sys.modules["quantbench.sandbox.inside.peer"].Peer._pack_answer = lambda self, value, *_: [["set", value], []]
    """),
    _case("a dict whose keys all collide", """
        def f():
            return [[i * (2 ** 61 - 1), 0] for i in range(200000)]
        import sys
        sys.modules["quantbench.sandbox.inside.peer"].Peer._pack_answer = lambda self, value, *_: [["dict", value], []]
    """),
    _case("a set of lists", SEND + "def f():\n    send(2, b'[\"value\",[\"set\",[[\"list\",[]]]],[]]')", seconds=5),
    _case("a fraction over zero", SEND + "def f():\n    send(2, b'[\"value\",[\"fraction\",[\"0x1\",\"0x0\"]],[]]')", seconds=5),
    _case("a range without a step", SEND + "def f():\n    send(2, b'[\"value\",[\"range\",[\"0x0\",\"0x1\",\"0x0\"]],[]]')", seconds=5),
    _case("a damaged exception", SEND + "def f():\n    send(2, b'[\"raised\",[\"error\",[[]],{},[],0],[]]')", seconds=5),
    _case("an exception that wants more", SEND + "def f():\n    send(2, b'[\"raised\",[\"error\",[[\"builtins\",\"UnicodeDecodeError\"]],[1],[],\"x\"],[]]')", seconds=5),
]  # fmt: skip

RESOURCES = [*TIME, *MEMORY, *STORAGE, *CRASHES, *REPLIES]
