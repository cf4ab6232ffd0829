"""Programs and tests whose verdict depends on what passes between them; each is also run plainly, in one process.

`f` is the function under test. Each entry: what it is about, the prompt, the completion, the test's lines.
"""

# ruff: noqa: E501 (one case, one place)

from textwrap import indent

from quantbench.sandbox.program import Program

NODE = """
class Node:
    def __init__(self, value, next=None):
        self.value, self.next = value, next
    def __eq__(self, other):
        return isinstance(other, Node) and (self.value, self.next) == (other.value, other.next)

"""
POINT = """
from dataclasses import dataclass, field
@dataclass(frozen=True)
class Point:
    x: int
    y: int = 0
    tags: list = field(default_factory=list)

"""
COLOUR = "import enum\nclass Colour(enum.Enum):\n    RED = 1\n    BLUE = 2\n\n"
ERROR = """
class Refused(Exception):
    def __init__(self, reason, code=0):
        super().__init__(reason)
        self.code = code
    def __str__(self):
        return f"refused: {self.args[0]} ({self.code})"

"""
STACK = """
class Stack:
    def __init__(self):
        self.items = []
    def push(self, item):
"""
HEAD = "def f(x):\n"
RETURN = "    return x\n"

# Arguments that a call changes.
CHANGED = [
    ("a list sorted in place", HEAD, "    x.sort()\n", ["v = [3, 1, 2]", "f(v)", "assert v == [1, 2, 3]"]),
    ("a list that must not be sorted", HEAD, "    x.sort()\n    return x\n", ["v = [3, 1, 2]", "assert f(v) == [1, 2, 3]", "assert v == [3, 1, 2]"]),
    ("a row inside a matrix", HEAD, "    x[1][0] = 9\n", ["m = [[1], [2]]", "row = m[1]", "f(m)", "assert m == [[1], [9]] and m[1] is row"]),
    ("a row put in the place of another", HEAD, "    x[0] = x[1]\n", ["m = [[1], [2]]", "f(m)", "assert m[0] is m[1]"]),
    ("a dict emptied", HEAD, "    x.clear()\n", ["d = {1: 2}", "f(d)", "assert d == {}"]),
    ("a dict that gains a list", HEAD, "    x['new'] = [x['old']]\n", ["d = {'old': [1]}", "f(d)", "assert d['new'][0] is d['old']"]),
    ("a set", HEAD, "    x.add(2)\n", ["s = {1}", "f(s)", "assert s == {1, 2}"]),
    ("a bytearray", HEAD, "    x[0] = 65\n", ["b = bytearray(b'xy')", "f(b)", "assert b == b'Ay'"]),
    ("a deque", HEAD, "    x.rotate(1)\n", ["from collections import deque", "d = deque([1, 2, 3], 5)", "f(d)", "assert list(d) == [3, 1, 2] and d.maxlen == 5"]),
    ("a counter", HEAD, "    x.update('ab')\n", ["from collections import Counter", "c = Counter('a')", "f(c)", "assert c == Counter('aab')"]),
    ("an ordered dict", HEAD, "    x.move_to_end('a')\n", ["from collections import OrderedDict", "d = OrderedDict(a=1, b=2)", "f(d)", "assert list(d) == ['b', 'a']"]),
    ("a list in a tuple", HEAD, "    x[0].append(1)\n", ["t = ([],)", "f(t)", "assert t == ([1],)"]),
    ("an attribute", NODE + HEAD, "    x.value = 5\n", ["n = Node(1)", "f(n)", "assert n.value == 5"]),
    ("the end of a chain", NODE + HEAD, "    while x.next: x = x.next\n    x.next = Node(9)\n    return x\n", ["n = Node(1, Node(2))", "r = f(n)", "assert r is n.next and isinstance(r.next, Node) and r.next.value == 9"]),
    ("a class that only the test has", HEAD, "    x.left, x.right = x.right, x.left\n", ["class T: pass", "t = T()", "t.left, t.right = [1], [2]", "f(t)", "assert t.left == [2] and t.right == [1]"]),
    ("changed, then an exception", HEAD, "    x.append(1)\n    raise ValueError\n", ["v = []", "try: f(v)", "except ValueError: pass", "assert v == [1]"]),
    ("by keyword", "def f(x, *, y):\n", "    y.extend(x)\n", ["v = [1]", "f(v, y=v)", "assert v == [1, 1]"]),
    ("one object twice", "def f(x, y):\n", "    x.append(1)\n    return y\n", ["v = []", "assert f(v, v) == [1]"]),
    ("two equal ones", "def f(x, y):\n", "    x.append(1)\n    return y\n", ["assert f([], []) == []"]),
    ("the argument given back", HEAD, RETURN, ["v = [1]", "assert f(v) is v"]),
    ("a copy given back", HEAD, "    return list(x)\n", ["v = [1]", "assert f(v) == v and f(v) is not v"]),
    ("a part given back", HEAD, "    return x['a']\n", ["v = {'a': [1]}", "assert f(v) is v['a']"]),
    ("a default that remembers", "def f(x, seen=[]):\n", "    seen.append(x)\n    return seen\n", ["f(1)", "assert f(2) == [1, 2]"]),
    ("a list that holds itself", HEAD, "    x.append(x)\n", ["v = []", "f(v)", "assert v[0] is v"]),
    ("only looked at", HEAD, "    return sorted(x)\n", ["v = [2, 1]", "f(v)", "assert v == [2, 1]"]),
]  # fmt: skip

# Functions, iterators, classes: by reference.
REFERENCES = [
    ("a function as argument", HEAD, "    return x(2)\n", ["assert f(lambda a: a + 2) == 4"]),
    ("a function that counts its calls", HEAD, "    return [x(i) for i in range(3)]\n", ["calls = []", "f(calls.append)", "assert calls == [0, 1, 2]"]),
    ("a function that raises", HEAD, "    try: x()\n    except ZeroDivisionError as e: return str(e)\n", ["assert f(lambda: 1 / 0) == 'division by zero'"]),
    ("a function that raises past the program", HEAD, "    x()\n", ["def g(): raise KeyError('k')", "try: f(g)", "except KeyError as e: assert e.args == ('k',)", "else: assert False"]),
    ("a function as result", HEAD, "    return lambda a: a + x\n", ["assert f(2)(2) == 4"]),
    ("a wrong function as result", HEAD, "    return lambda a: a - x\n", ["assert f(2)(2) == 4"]),
    ("a closure that counts", "def f():\n", "    n = 0\n    def g():\n        nonlocal n\n        n += 1\n        return n\n    return g\n", ["g = f()", "assert [g(), g()] == [1, 2] and f()() == 1"]),
    ("a decorator", HEAD, "    def g(*a, **k): return x(*a, **k) * 2\n    return g\n", ["@f", "def h(a, b=1): return a + b", "assert h(1) == 4 and h(1, b=2) == 6"]),
    ("its own argument called back", HEAD, RETURN, ["g = lambda: 7", "assert f(g) is g"]),
    ("composition", "def f(g, h):\n", "    return lambda x: g(h(x))\n", ["assert f(str, abs)(-3) == '3'"]),
    ("a built-in function", HEAD, "    return x([3, 1])\n", ["assert f(sorted) == [1, 3] and f(max) == 3"]),
    ("a function of the standard library", HEAD, "    return x(4)\n", ["import math, operator", "assert f(math.sqrt) == 2 and f(operator.neg) == -4"]),
    ("a partial function", HEAD, "    return x(3)\n", ["import functools", "assert f(functools.partial(pow, 2)) == 8"]),
    ("a method", HEAD, "    return x('a')\n", ["assert f('banana'.count) == 3"]),
    ("a function of the prompt", "def twice(a):\n    return 2 * a\n\n" + HEAD, "    return x(4)\n", ["assert f(twice) == 8"]),
    ("a function of the prompt as result", "def twice(a):\n    return 2 * a\n\n" + HEAD, "    return twice\n", ["assert f(1)(4) == 8"]),
    ("the function itself", HEAD, "    return 1 if x == 0 else x * f(x - 1)\n", ["import functools", "assert functools.reduce(lambda a, b: a + b, map(f, [1, 2, 3])) == 9"]),
    ("the function handed to itself", HEAD, "    return 5 if x is f else x\n", ["assert f(f) == 5"]),
    ("a function that calls the function", "def f(x, g):\n", "    return 1 if x == 0 else g(x - 1)\n", ["g = lambda n: 2 * f(n, g)", "assert f(5, g) == 32"]),
    ("a key function", HEAD, "    return sorted(['bb', 'a'], key=x)\n", ["assert f(len) == ['a', 'bb']"]),
    ("a dictionary of functions", HEAD, "    return {'add': lambda a: a + x}\n", ["assert f(1)['add'](2) == 3"]),
    ("an endless generator", HEAD, "    while True:\n        yield x\n        x += 1\n", ["import itertools", "assert list(itertools.islice(f(3), 10)) == list(range(3, 13))"]),
    ("a generator that would hang later", HEAD, "    yield 1\n    while True: pass\n", ["assert next(f(0)) == 1"]),
    ("a generator that fails", HEAD, "    yield 1\n    raise KeyError(x)\n", ["g = f(2)", "assert next(g) == 1", "try: next(g)", "except KeyError as e: assert e.args == (2,)", "else: assert False"]),
    ("a generator that ends", HEAD, "    yield from x\n", ["g = f([1])", "assert next(g) == 1 and next(g, None) is None"]),
    ("a generator is one", HEAD, "    yield x\n", ["import types", "assert isinstance(f(1), types.GeneratorType)"]),
    ("a generator is no list", HEAD, "    yield x\n", ["assert f(1) == [1]"]),
    ("a map", HEAD, "    return map(abs, x)\n", ["assert list(f([-1, 2])) == [1, 2]"]),
    ("thousands of items", HEAD, "    yield from range(x)\n", ["assert sum(f(3000)) == 3000 * 2999 // 2"]),
    ("two generators in turn", HEAD, "    yield from x\n", ["a, b = f([1, 2]), f([3, 4])", "assert [next(a), next(b), next(a), next(b)] == [1, 3, 2, 4]"]),
    ("a generator as argument", HEAD, "    return [next(x), next(x)]\n", ["import itertools", "g = itertools.count(5)", "assert f(g) == [5, 6] and next(g) == 7"]),
    ("a list of lazily made lists", HEAD, "    return ([i] * i for i in range(x))\n", ["assert [len(r) for r in f(4)] == [0, 1, 2, 3]"]),
    ("an instance", NODE + HEAD, "    return x.value + x.next.value\n", ["assert f(Node(1, Node(3))) == 4"]),
    ("an instance as result", NODE + HEAD, "    return Node(x, Node(2))\n", ["assert f(1) == Node(1, Node(2)) and isinstance(f(1), Node)"]),
    ("a wrong instance as result", NODE + HEAD, "    return Node(x, Node(3))\n", ["assert f(1) == Node(1, Node(2))"]),
    ("a frozen dataclass", POINT + HEAD, "    return Point(x, 2, [x])\n", ["assert f(1) == Point(1, 2, [1]) and f(1).y == 2"]),
    ("a named tuple of the prompt", "from typing import NamedTuple\nclass P(NamedTuple):\n    a: int\n    def twice(self): return 2 * self.a\n\n" + HEAD, "    return P(x)\n", ["assert f(2) == P(2) == (2,) and f(2).twice() == 4"]),
    ("a named tuple of the program", HEAD, "    from collections import namedtuple\n    return namedtuple('N', 'a b')(x, 4)\n", ["assert f(2).b == 4 and f(2) == (2, 4)"]),
    ("a member of an enumeration", COLOUR + HEAD, "    return Colour(x)\n", ["assert f(2) is Colour.BLUE"]),
    ("an enumeration's member as argument", COLOUR + HEAD, "    return x is Colour.RED\n", ["assert f(Colour.RED) and not f(Colour.BLUE)"]),
    ("a class as result", HEAD, "    return type(x)\n", ["assert f(1) is int and f('') is str and f(None) is type(None)"]),
    ("a class as argument", HEAD, "    return x('12')\n", ["assert f(int) == 12 and f(list) == ['1', '2']"]),
    ("a class of the prompt as result", NODE + HEAD, "    return Node\n", ["assert f(0) is Node"]),
    ("a class to be written", STACK, "        self.items.append(item)\n    def pop(self):\n        return self.items.pop()\n    def __len__(self):\n        return len(self.items)\n", ["s = candidate()", "s.push(1)", "s.push([2])", "assert len(s) == 2 and s.pop() == [2] and s.items == [1] and s"]),
    ("a class written wrongly", STACK, "        self.items.insert(0, item)\n    def pop(self):\n        return self.items.pop()\n", ["s = candidate()", "s.push(1)", "s.push(2)", "assert s.pop() == 2"]),
    ("a coroutine function", "async def f(x):\n", "    import asyncio\n    await asyncio.sleep(0)\n    return x + x\n", ["import asyncio", "assert asyncio.run(f(2)) == 4"]),
]  # fmt: skip

# Exceptions that a test expects.
EXCEPTIONS = [
    ("its text", HEAD, "    raise ValueError('no')\n", ["try: f(1)", "except ValueError as e: assert str(e) == 'no'", "else: assert False"]),
    ("another kind", HEAD, "    raise TypeError('no')\n", ["try: f(1)", "except ValueError: pass"]),
    ("several arguments", HEAD, "    raise ValueError('no', x, [1])\n", ["try: f(1)", "except ValueError as e: assert e.args == ('no', 1, [1])"]),
    ("a key that is no text", HEAD, "    raise KeyError((1, 2))\n", ["try: f(1)", "except KeyError as e: assert e.args[0] == (1, 2)"]),
    ("an operating system's", HEAD, "    raise FileNotFoundError(2, 'gone', 'name')\n", ["try: f(1)", "except OSError as e: assert e.errno == 2 and e.strerror == 'gone'"]),
    ("one below a known one", HEAD, "    class Own(ValueError): pass\n    raise Own('x')\n", ["try: f(1)", "except ValueError as e: assert str(e) == 'x' and type(e).__name__ == 'Own'"]),
    ("one of the prompt", ERROR + HEAD, "    raise Refused('x', 7)\n", ["try: f(1)", "except Refused as e: assert e.code == 7 and str(e) == 'refused: x (7)'", "else: assert False"]),
    ("one of the standard library", HEAD, "    import json\n    json.loads('{')\n", ["import json", "try: f(1)", "except json.JSONDecodeError as e: assert e.pos == 1", "else: assert False"]),
    ("one of the standard library by its base", HEAD, "    import json\n    json.loads('{')\n", ["try: f(1)", "except ValueError: pass", "else: assert False"]),
    ("of decimals", HEAD, "    import decimal\n    raise decimal.InvalidOperation\n", ["import decimal", "try: f(1)", "except ArithmeticError: pass", "else: assert False"]),
    ("a text that cannot be decoded", HEAD, "    b'\\xff'.decode()\n", ["try: f(1)", "except UnicodeDecodeError as e: assert e.start == 0 and e.object == b'\\xff'", "else: assert False"]),
    ("an exit with its code", HEAD, "    raise SystemExit(3)\n", ["try: f(1)", "except SystemExit as e: assert e.code == 3", "else: assert False"]),
    ("an exit that nobody expects", HEAD, "    raise SystemExit(0)\n", ["f(1)"]),
    ("a group", HEAD, "    raise ExceptionGroup('g', [ValueError(1), TypeError(2)])\n", ["try: f(1)", "except ExceptionGroup as g: assert [type(e) for e in g.exceptions] == [ValueError, TypeError]", "else: assert False"]),
    ("an exception as a value", HEAD, "    return ValueError('x')\n", ["assert isinstance(f(1), ValueError) and f(1).args == ('x',)"]),
    ("a class of exceptions as a value", HEAD, "    return KeyError\n", ["assert f(1) is KeyError"]),
    ("a failed assertion of its own", HEAD, "    assert x > 0, 'positive'\n", ["try: f(0)", "except AssertionError as e: assert str(e) == 'positive'", "else: assert False"]),
    ("recursion without end", HEAD, "    return f(x)\n", ["try: f(1)", "except RecursionError: pass", "else: assert False"]),
    ("none at all", HEAD, RETURN, ["try: f(1)", "except ValueError: pass", "else: assert False"]),
]  # fmt: skip

# Values that a program makes and a test compares.
MADE = [
    ("a date", "    import datetime\n    return datetime.date(2020, 1, x)\n", "import datetime", "datetime.date(2020, 1, 2)"),
    ("a moment in a zone", "    import datetime, zoneinfo\n    return datetime.datetime(2020, 7, x, tzinfo=zoneinfo.ZoneInfo('UTC'))\n", "import datetime", "datetime.datetime(2020, 7, 2, tzinfo=datetime.timezone.utc)"),
    ("a decimal", "    from decimal import Decimal\n    return Decimal(x) / 4\n", "from decimal import Decimal", "Decimal('0.5')"),
    ("a fraction", "    from fractions import Fraction\n    return Fraction(x, 4)\n", "from fractions import Fraction", "Fraction(1, 2)"),
    ("a default dict", "    from collections import defaultdict\n    d = defaultdict(list)\n    d[x]\n    return d\n", "from collections import defaultdict", "{2: []}"),
    ("a counter", "    from collections import Counter\n    return Counter('a' * x)\n", "from collections import Counter", "Counter({'a': 2, 'b': 0})"),
    ("a list of one's own", "    from collections import UserList\n    return UserList([x])\n", "from collections import UserList", "[2]"),
    ("a read-only mapping", "    import types\n    return types.MappingProxyType({x: 1})\n", "import types", "{2: 1}"),
    ("an ordered dict in another order", "    from collections import OrderedDict\n    return OrderedDict([(1, x), (0, x)])\n", "from collections import OrderedDict", "OrderedDict([(0, 2), (1, 2)])"),
    ("a huge integer", "    return x ** 100_000\n", "pass", "1 << 100_000"),
    ("a text of 10 MB", "    return 'z' * (5_000_000 * x)\n", "pass", "'z' * 10_000_000"),
    ("nested deeply", "    r = []\n    for _ in range(150): r = [r]\n    return str(r).count('[')\n", "pass", "151"),
    ("views of a dict", "    return {x: 1}.keys()\n", "pass", "{2}"),
    ("a tuple for a list", "    return (x,)\n", "pass", "[2]"),
    ("True for 1", "    return x == 2\n", "pass", "1"),
    ("not a number", "    return float('nan')\n", "pass", "float('nan')"),
]  # fmt: skip
VALUES = [
    (name, HEAD, completion, [imports, f"assert f(2) == {expected}"])
    for name, completion, imports, expected in MADE
]

# What programs use of the standard library.
LIBRARY = [
    ("an event loop", HEAD, "    import asyncio\n    async def g(): return x + x\n    return asyncio.run(g())\n", ["assert f(2) == 4"]),
    ("tasks, queues and threads of an event loop", HEAD, "    import asyncio\n    async def g():\n        q = asyncio.Queue()\n        await asyncio.gather(*(q.put(i) for i in range(x)))\n        return await asyncio.to_thread(q.qsize)\n    return asyncio.run(g())\n", ["assert f(3) == 3"]),
    ("a pool of 32 threads", HEAD, "    from concurrent.futures import ThreadPoolExecutor\n    with ThreadPoolExecutor(32) as pool: return sum(pool.map(abs, range(x)))\n", ["assert f(100) == 4950"]),
    ("multiprocessing's pool of threads", HEAD, "    from multiprocessing.pool import ThreadPool\n    with ThreadPool(4) as pool: return sum(pool.map(abs, range(x)))\n", ["assert f(100) == 4950"]),
    ("multiprocessing's locks and queues", HEAD, "    import multiprocessing as m\n    lock, queue = m.RLock(), m.Queue()\n    with lock, lock: queue.put(x)\n    return queue.get()\n", ["assert f(7) == 7"]),
    ("a time zone", HEAD, "    import datetime, zoneinfo\n    zone = zoneinfo.ZoneInfo('Europe/Paris')\n    return datetime.datetime(2024, x, 1, tzinfo=zone).utcoffset().seconds\n", ["assert f(7) == 7200 and f(1) == 3600"]),
    ("timers and events", HEAD, "    import threading\n    event = threading.Event()\n    threading.Timer(0.01, event.set).start()\n    return event.wait(5)\n", ["assert f(1) is True"]),
    ("threads joined", HEAD, "    import threading\n    done = []\n    threads = [threading.Thread(target=done.append, args=(i,)) for i in range(x)]\n    for t in threads: t.start()\n    for t in threads: t.join()\n    return sorted(done)\n", ["assert f(8) == list(range(8))"]),
    ("a data base in memory", HEAD, "    import sqlite3\n    return sqlite3.connect(':memory:').execute('select ?', (x,)).fetchone()\n", ["assert f(3) == (3,)"]),
    ("nothing written to nowhere", HEAD, "    import contextlib, io\n    with contextlib.redirect_stdout(io.StringIO()) as out: print(x)\n    return out.getvalue()\n", ["assert f(3) == '3\\n'"]),
]  # fmt: skip


def program(name: str, prompt: str, completion: str, lines: list[str]) -> Program:
    """The program of one entry; its test calls f by its own name."""
    entry = "Stack" if prompt == STACK else "f"
    body = indent("\n".join([*lines]), "    ")
    return Program(
        task_id=name,
        prompt=prompt,
        completion=completion,
        test=f"def check(candidate):\n{body}\n",
        entry_point=entry,
    )


FAMILIES = {
    "changed": CHANGED,
    "references": REFERENCES,
    "exceptions": EXCEPTIONS,
    "values": VALUES,
    "library": LIBRARY,
}
PROGRAMS = {
    f"{family}: {name}": program(f"{family}: {name}", prompt, completion, lines)
    for family, entries in FAMILIES.items()
    for name, prompt, completion, lines in entries
}
# The official text of these ends in the middle of something, or checks by itself.
TEXTS = {
    "a backslash before an empty line": ("    return x + x\\", "\ndef check(candidate):\n    assert candidate(2) == 4\n"),
    "a backslash before the test": ("    return x + x\\", "def check(candidate):\n    assert candidate(2) == 4\n"),
    "a backslash on its own line": ("    return x + x\n\\", "def check(candidate):\n    assert candidate(2) == 4\n"),
    "a test that checks by itself": ("    return x + x\n", "def check(candidate):\n    assert candidate(2) == 4\ncheck(f)\n"),
    "a test that checks by itself, a wrong program": ("    return x\n", "def check(candidate):\n    assert candidate(2) == 4\ncheck(f)\n"),
    "a test that uses the function while it is defined": ("    return x + x\n", "FOUR = f(2)\ndef check(candidate):\n    assert candidate(2) == FOUR == 4\n"),
    "a test with a main block": ("    return x + x\n", "def check(candidate):\n    assert candidate(2) == 4\nif __name__ == '__main__':\n    raise SystemExit\n"),
    "a test without check": ("    return x + x\n", "assert f(2) == 4\n"),
    "an open bracket": ("    return (x + x\n", "def check(candidate):\n    assert candidate(2) == 4\n"),
    "an open text": ("    return '''x\n", "def check(candidate):\n    assert candidate(2) == 4\n"),
    "an unfinished function": ("    return x + x\ndef g():\n", "def check(candidate):\n    assert candidate(2) == 4\n"),
}  # fmt: skip
PROGRAMS |= {
    f"text: {name}": Program(
        task_id=f"text: {name}", prompt=HEAD, completion=completion, test=test, entry_point="f"
    )
    for name, (completion, test) in TEXTS.items()
}
