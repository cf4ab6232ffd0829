"""Answers that are heavy to read, to rebuild or to use; the test does what tests do with an answer."""

# ruff: noqa: E501 (one case, one place)

from textwrap import dedent

from tests.sandbox.case import Case
from tests.sandbox.forgeries import ASK, FORGE

COLLIDING = "[i * (2 ** 61 - 1) for i in range(100_000)]"
PAIRS = "[[i * (2 ** 61 - 1), 0] for i in range(100_000)]"
TUPLES = "[['tuple', [i * (2 ** 61 - 1), 0]] for i in range(100_000)]"


def _use(name: str, use: str, content: str, changes: str = "[]") -> Case:
    test = f"def check(candidate):\n    assert ({use}) == 'survived'\n"
    source = FORGE.format(content=content, changes=changes)
    return Case(name=f"heavy: {name}", source=source, test=test, seconds=5)


def _made(name: str, use: str, source: str, *, seconds: float = 1.0) -> Case:
    test = f"def check(candidate):\n    assert ({use}) == 'survived'\n"
    return Case(name=f"heavy: {name}", source=dedent(source), test=test, seconds=seconds)


HEAVY_ANSWERS = [
    _use("keys that collide", "candidate()", f"['keys', {COLLIDING}]"),
    _use("items that collide", "candidate()", f"['items', {TUPLES}]"),
    _use("a frozen set that collides", "candidate()", f"['frozenset', {COLLIDING}]"),
    _use("a counter that collides", "candidate()", f"['counter', {PAIRS}]"),
    _use("an ordered dict that collides", "candidate()", f"['ordereddict', {PAIRS}]"),
    _use("a default dict that collides", "candidate()", f"['defaultdict', {PAIRS}, None]"),
    _use("a user's dict that collides", "candidate()", f"['userdict', {PAIRS}]"),
    _use("a mapping proxy that collides", "candidate()", f"['proxy', {TUPLES}]"),
    _use("an argument changed to collide", "candidate({1})", "1", f"[[0, {COLLIDING}]]"),
    _use("a decimal of a billion digits", "int(candidate())", "['decimal', '1E+999999999']"),
    _use("a decimal of a billion places", "int(1 / candidate())", "['decimal', '1E-999999999']"),
    _use("a decimal that is long", "int(candidate())", "['decimal', '9' * 5_000_000]"),
    _use("an integer squared", "candidate() ** 2", "['int', '0x' + 'f' * 4_000_000]"),
    _use("a fraction of huge parts", "candidate() + candidate()", "['fraction', ['0x' + 'f' * 900_000, '0x' + 'e' * 900_000]]"),
    _use("a range of 97 million", "tuple(candidate())", "['range', ['0x0', hex(97 * 10 ** 6), '0x1']]"),
    _use("a range without bounds", "list(candidate())", "['range', ['0x0', '0x' + 'f' * 99, '0x1']]"),
    _use("a range below zero", "list(candidate())", "['range', ['0x0', '-0x' + 'f' * 99, '-0x1']]"),
    _use("millions of empty lists", "candidate()", "['list', [['list', []]] * 4_000_000]"),
    _use("millions of floats", "candidate()", "['list', [1.5] * 12_000_000]"),
    _use("thousands of records of many names", "candidate()", "['list', [['record', [0] * 200, 'N', [f'a{i}_{j}' for j in range(200)]] for i in range(300)]]"),
    _use("thousands of classes of exceptions", "candidate()", "['list', [['error', [['', f'E{i}'], ['builtins', 'ValueError']], [], [], ''] for i in range(3000)]]"),
    _use("a line of bases without end", "candidate()", "['error', [['', 'E']] * 200_000 + [['builtins', 'ValueError']], [], [], '']"),
    _use("an instance of many attributes", "candidate()", "['object', [[f'a{i}', i] for i in range(300_000)], 'X']"),
    _use("a time of long ago", "candidate().isoformat()", "['timedelta', [10 ** 300, 0, 0]]"),
    _use("an array of everything", "candidate()", "['array', [2 ** 40] * 99, 'b']"),
    _use("a name of a megabyte", "candidate()", "['record', [1], 'N' * (1 << 20), ['a' * (1 << 20)]]"),
    _use("a deque that may hold nothing", "candidate()", "['deque', [1] * 1_000_000, 0]"),
    _use("a slice of slices", "list(range(9))[candidate()]", "['slice', [['slice', [1, 2, 3]], None, None]]"),
    _use("thousands of changes", "candidate([1])", "1", "[[0, [1] * 100]] * 50_000"),
    _use("a list in itself, compared", "candidate() == candidate()", "['list', [['same', 0]]]"),
    _use("lists in lists without end, written out", "len(str(candidate()))", "__import__('functools').reduce(lambda inner, _: ['list', [inner]], range(890), 1)"),
    _use("functions without end", "candidate()", "['list', [['function', i, 'f', ''] for i in range(200_000)]]"),
    _use("a text with a long tail of escapes", "candidate()", "'\\\\' * 8_000_000"),
    _made("an endless iterator, all of it", "list(candidate())", "def f():\n    while True: yield 1", seconds=3),
    _made("an endless iterator of large texts", "list(candidate())", "def f():\n    while True: yield 'x' * 10 ** 6", seconds=3),
    _made("an iterator that sleeps", "list(candidate())", "import time\ndef f():\n    while True: yield time.sleep(0.05)"),
    _made("an iterator that computes", "next(candidate())", "def f():\n    while True: pass\n    yield 1", seconds=4),
    _made("an iterator of iterators", "[list(x) for x in candidate()]", "def f():\n    def g():\n        while True: yield 1\n    while True: yield g()", seconds=3),
    _made("an iterator that exits", "list(candidate())", "import os\ndef f():\n    yield 1\n    os._exit(0)"),
    _made("a function that never returns", "candidate()()", "import time\ndef f(): return lambda: time.sleep(99)"),
    _made("a function that returns functions", "[g := candidate()] + [g := g() for _ in range(10 ** 7)]", "def f():\n    return f", seconds=2),
    _made("a coroutine that sleeps", "__import__('asyncio').run(candidate())", "import asyncio\nasync def f(): await asyncio.sleep(99)"),
    _made("the test's function called without end", "candidate(lambda: 1)", "def f(g):\n    while True: g()"),
    _made("the test's function called in itself", "candidate(candidate)", "def f(g): return g(g)", seconds=3),
    _made("the test's function given heaps", "candidate(len)", "def f(g):\n    while True: g([0] * 10 ** 6)", seconds=2),
    _made("the test's generator drained", "candidate(iter(int, 1))", "def f(g): return sum(g)", seconds=2),
    _made("the test's function called by threads", "candidate(lambda: 1)", """
        import threading
        def loop(g):
            while True: g()
        def f(g):
            for _ in range(8): threading.Thread(target=loop, args=(g,)).start()
            loop(g)
    """),
    _made("an answer while a thread still calls", "candidate(lambda: 1) and candidate(lambda: 1)", """
        import threading
        def loop(g):
            while True: g()
        def f(g):
            threading.Thread(target=loop, args=(g,), daemon=True).start()
            return 1
    """),
    _made("arguments that grow", "[candidate(v) for v in [[1]] for _ in range(99)]", "def f(v):\n    v.extend(v)", seconds=3),
    _made("an exception with a text of 100 MB", "candidate()", "def f(): raise ValueError('x' * 10 ** 8)", seconds=3),
    _made("an exception with heavy arguments", "candidate()", "def f(): raise ValueError([0] * 10 ** 7)", seconds=3),
    _made("exceptions in exceptions", "candidate()", """
        def f():
            error = ValueError()
            for _ in range(10 ** 5): error = ValueError(error)
            raise error
    """, seconds=3),
    _made("an exception whose text never ends", "candidate()", """
        class E(Exception):
            def __str__(self):
                while True: pass
        def f(): raise E
    """, seconds=3),
    Case(name="heavy: the test asked to call the program for ever", source=ASK.format(request="['call', None, [], []]"), test="def check(candidate):\n    assert candidate() == 'survived'\n", seconds=3),
    Case(name="heavy: the test asked for millions of items", source=ASK.format(request="['next', 0, 10 ** 12]"), test="def check(candidate):\n    assert candidate(iter(int, 1)) == 'survived'\n", seconds=3),
]  # fmt: skip
