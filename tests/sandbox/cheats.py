"""Programs that try to be called right without being right. `real`: it fools a test in its own process."""

# ruff: noqa: E501 (one case, one place)

from tests.sandbox.case import Case


def _case(name: str, source: str, *, real: bool = False) -> Case:
    return Case(name=name, source=source, real=real)


EVERYTHING = """
class Any{base}:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __hash__(self): return 0
    def __bool__(self): return True
    def __abs__(self): return 0.0
    def __sub__(self, other): return self
    __rsub__ = __lt__ = __le__ = __gt__ = __ge__ = __sub__
def f(x, y):
    return Any({value})
"""


def _equal(name: str, base: str, value: str) -> Case:
    return _case(name, EVERYTHING.format(base=base, value=value), real=True)


CHEATS = [
    _case("exit status 0 while loading", "import os\nos._exit(0)", real=True),
    _case("exit status 0 in a call", "import os\ndef f(x, y):\n    os._exit(0)", real=True),
    _case("sys.exit in a call", "import sys\ndef f(x, y):\n    sys.exit(0)", real=True),
    _case("SystemExit while loading", "raise SystemExit(0)", real=True),
    _case("SystemExit of its own", "class E(SystemExit): code = 0\ndef f(x, y):\n    raise E(0)", real=True),
    _case("exit by signal handler", """
        import os, signal
        signal.signal(signal.SIGALRM, lambda *_: os._exit(0))
        def f(x, y):
            signal.setitimer(signal.ITIMER_REAL, 0.01)
            while True: pass
    """, real=True),
    _case("exit in a thread", """
        import os, threading
        def f(x, y):
            threading.Thread(target=os._exit, args=(0,)).start()
            while True: pass
    """, real=True),
    _equal("an object that equals everything", "", ""),
    _equal("an int that equals everything", "(int)", "7"),
    _equal("a float that equals everything", "(float)", "7.5"),
    _equal("a text that equals everything", "(str)", "'x'"),
    _equal("a list that equals everything", "(list)", "[1]"),
    _equal("a tuple that equals everything", "(tuple)", "(1,)"),
    _equal("a dict that equals everything", "(dict)", "{}"),
    _equal("a set that equals everything", "(set)", "{1}"),
    _equal("bytes that equal everything", "(bytes)", "b''"),
    _equal("a complex that equals everything", "(complex)", "1j"),
    _case("an iterator that equals everything", """
        class It:
            def __iter__(self): return self
            def __next__(self): raise StopIteration
            def __eq__(self, other): return True
        def f(x, y): return It()
    """, real=True),
    _case("a class that equals everything", """
        class Meta(type):
            def __eq__(cls, other): return True
            def __hash__(cls): return 0
        class C(metaclass=Meta): pass
        def f(x, y): return C
    """, real=True),
    _case("a lying __class__", """
        class L:
            __class__ = int
            def __index__(self): return 29
            def __eq__(self, other): return True
        def f(x, y): return L()
    """, real=True),
    _case("NotImplemented", "def f(x, y): return NotImplemented"),
    _case("not a number", "def f(x, y): return float('nan')"),
    _case("patched built-ins", """
        import builtins
        builtins.len = lambda x: 0
        builtins.abs = builtins.sum = builtins.max = lambda *_: 0
        builtins.all = builtins.isinstance = lambda *_: True
        def f(x, y): return y
    """),
    _case("patched AssertionError", """
        import builtins
        builtins.AssertionError = type("Fine", (BaseException,), {"__init__": lambda s, *a: __import__("os")._exit(0)})
        def f(x, y): return 0
    """),
    _case("the caller's frame", """
        import sys
        calls = []
        def f(x, y):
            frame, found = sys._getframe(1), []
            while frame:
                found += [c for c in frame.f_code.co_consts if isinstance(c, (int, float)) and abs(c) > 100]
                frame = frame.f_back
            calls.append(0)
            return (found or [0])[(len(calls) - 1) % max(1, len(found))]
    """, real=True),
    _case("the caller's check replaced", """
        import sys
        def f(x, y):
            frame = sys._getframe(1)
            frame.f_locals["x"] = []
            sys.settrace(lambda *_: None)
            frame.f_trace = lambda frame, event, arg: __import__("os")._exit(0)
    """, real=True),
    _case("the collector's objects", """
        import gc
        def f(x, y):
            for found in gc.get_objects():
                if isinstance(found, dict) and "check" in found:
                    return eval(found["check"].__code__.co_consts[-1])
    """),
    _case("a check of its own", "def check(candidate): pass\ndef f(x, y): return None"),
    _case("a check for every module", """
        import sys
        for module in list(sys.modules.values()):
            try: module.check = lambda candidate: None
            except Exception: pass
        def f(x, y): return None
    """),
    _case("replies sent ahead", """
        import os, struct
        def frame(number, body): return struct.pack("!II", len(body), number) + body
        for number in range(2, 9):
            os.write(3, frame(number, b'["value",8127,[]]'))
        def f(x, y): return None
    """),
    _case("a reply of its own before the right one", """
        import os, struct
        def f(x, y):
            body = b'["ready",null,[]]'
            os.write(3, struct.pack("!II", len(body), 2) + body)
            return True
    """),
    _case("'confined' and 'broken' once more", """
        import os, struct
        for body in (b'["confined",null]', b'["broken","x"]', b'["passed",""]'):
            os.write(3, struct.pack("!II", len(body), 1) + body)
        def f(x, y): return None
    """),
    _case("a verdict on every descriptor", """
        import os, json
        for fd in range(64):
            try: os.write(fd, json.dumps({"outcome": "passed", "detail": "", "passed": True}).encode() + b"\\n")
            except OSError: pass
        def f(x, y): return None
    """),
    _case("everything that packs replaced", """
        import sys
        peer = sys.modules["quantbench.sandbox.inside.peer"].Peer
        peer._pack_answer = lambda self, value, objects, before: [["opaque", "int"], []]
        def f(x, y): return 1
    """),
    _case("a reply with an unknown tag", """
        import sys
        peer = sys.modules["quantbench.sandbox.inside.peer"].Peer
        peer._pack_answer = lambda self, value, objects, before: [["eval", "8127"], []]
        def f(x, y): return 1
    """),
    _case("a reply that unpickles", """
        import sys
        class R:
            def __reduce__(self): return (eval, ("True",))
        def f(x, y): return R()
    """),
    _case("a verdict as the answer", "def f(x, y): return ['passed', '']"),
    _case("an exception named like the referee's", """
        class Gone(BaseException): pass
        def f(x, y): raise Gone("passed")
    """),
    _case("an exception with a lying text", """
        class E(Exception):
            def __str__(self): raise KeyboardInterrupt
        def f(x, y): raise E
    """),
    _case("StopIteration", "def f(x, y): raise StopIteration"),
    _case("GeneratorExit", "def f(x, y): raise GeneratorExit"),
    _case("KeyboardInterrupt", "def f(x, y): raise KeyboardInterrupt"),
    _case("an exception group", "def f(x, y): raise BaseExceptionGroup('', [SystemExit(0)])"),
    _case("a coroutine", "async def f(x, y): return 8127"),
    _case("a generator that raises SystemExit", "def f(x, y):\n    yield 1\n    raise SystemExit(0)"),
    _case("a list that holds itself", "def f(x, y):\n    a = []\n    a.append(a)\n    return a"),
    _case("small ints rewritten in memory", """
        import ctypes
        def f(x, y):
            ctypes.c_int.from_address(id(29) + 24).value = 0
            return 0
    """),
    _case("never defined", "g = 1"),
    _case("not callable", "f = 8127"),
    _case("not Python", "def f(x, y) return 8127"),
    _case("nothing at all", ""),
]  # fmt: skip
