"""Answers that the box never gives, and answers that try to be taken for the test's own things."""

# ruff: noqa: E501 (one case, one place)

from textwrap import dedent

from tests.sandbox.case import Case

# Answers each call with a message of its own making.
FORGE = """
import sys
peer = sys.modules["quantbench.sandbox.inside.peer"].Peer
peer._pack_answer = lambda self, value, objects, before: [{content}, {changes}]
def f(*a): return 1
"""
ASK = """
import sys
peer = sys.modules["quantbench.sandbox.inside.peer"].Peer
def f(*a):
    return BOX.exchange({request})
init = sys.modules["quantbench.sandbox.inside.runner"].Box
import gc
BOX = next(o for o in gc.get_objects() if type(o) is init)
"""
TRUE_BY_METHOD = """
def check(candidate):
    text = candidate("ab", 1)
    assert text.startswith("ab") and text.endswith("c") and text.isalpha()
"""
CLASSES = """
class Node:
    def __init__(self, value): self.value = value
    def __eq__(self, other): return isinstance(other, Node) and self.value == other.value
    def right(self): return self.value == 8127
class Wrong(Exception): pass
class Colour(__import__("enum").Enum):
    RED = 8127
"""


def _forged(name: str, content: str, changes: str = "[]", test: str | None = None) -> Case:
    source = FORGE.format(content=content, changes=changes)
    return Case(name=f"forged: {name}", source=source, **({"test": test} if test else {}))


def _asked(name: str, request: str) -> Case:
    return Case(name=f"asked: {name}", source=ASK.format(request=request))


def _told(name: str, test: str, source: str, *, real: bool = True) -> Case:
    return Case(name=name, source=dedent(source), real=real, test=dedent(test))


FORGED = [
    _forged("the candidate", "['candidate', None]"),
    _forged("a function of the test", "['yours', 0]"),
    _forged("a function of the test, from the end", "['yours', -1]"),
    _forged("check by name", "['function', 0, 'check', 'check']", test="def check(candidate):\n    candidate(1)(lambda x: 1 / 0)\n    assert candidate(2)(3) == 8127\n"),
    _forged("eval by name", "['function', 0, 'eval', 'eval']"),
    _forged("os.system by name", "['function', 0, 'system', 'os.system']"),
    _forged("exec as a class", "['python', 'builtins', 'exec']"),
    _forged("a module as a class", "['python', 'os', 'path']"),
    _forged("the referee's own class", "['python', 'quantbench.sandbox.proxy', 'Gone']"),
    _forged("type itself", "['python', 'builtins', 'type']"),
    _forged("a number that is none", "['same', '0']"),
    _forged("a number beyond all", "['same', 10 ** 9]"),
    _forged("a number below all", "['same', -1]"),
    _forged("a true number", "['same', True]"),
    _forged("code for a record's field", "['record', [1], 'N', [\"x:=__import__('os').system('false')\"]]"),
    _forged("a record of dunder fields", "['record', [1], 'N', ['__eq__']]"),
    _forged("a record with fields to spare", "['record', [1, 2], 'N', ['a']]"),
    _forged("a member of nothing", "['member', 'RED', 'Colour', 8127]", test="def check(candidate):\n    assert candidate(1).name == 'BLUE'\n"),
    _forged("an instance of int", "['object', [['real', 8127]], 'int']"),
    _forged("an instance of a built-in by path", "['object', [], 'list.append']"),
    _forged("an attribute that is no name", "['object', [[1, 2]], 'X']"),
    _forged("a class attribute", "['object', [['__class__', 8127]], 'X']"),
    _forged("an instance of the class under test", "['instance', 0]"),
    _forged("an iterator that is none", "['iterator', 77, True]", test="def check(candidate):\n    assert list(candidate(1)) == [1]\n"),
    _forged("an iterator of a wrong number", "['iterator', 'x', False]", test="def check(candidate):\n    assert list(candidate(1)) == [1]\n"),
    _forged("an exception that ends a loop", "['error', [['builtins', 'StopIteration']], [], [], '']", test="def check(candidate):\n    for got in map(candidate, [1]): assert got == 8127\n"),
    _forged("a class of exceptions that is a module", "['error', [['os', 'path']], [], [], '']"),
    _forged("the referee's exception", "['error', [['quantbench.sandbox.proxy', 'Gone']], [], [], '']"),
    _forged("an exception without a class", "['error', [], [], [], '']"),
    _forged("changes of nothing", "1", "[[0, [1]]]"),
    _forged("changes that are none", "1", "{}"),
    _forged("a change beyond all", "1", "[[99, []]]", test="def check(candidate):\n    v = [1]\n    candidate(v)\n    assert v == [2]\n"),
    _forged("a change of another kind", "1", "[[0, 7]]", test="def check(candidate):\n    v = [1]\n    candidate(v)\n    assert v == [2]\n"),
    _forged("a change with unhashable keys", "1", "[[0, [[['list', []], 1]]]]", test="def check(candidate):\n    v = {1: 2}\n    candidate(v)\n    assert v == {}\n"),
    _forged("an opaque value with methods", "['opaque', 'x']", test=TRUE_BY_METHOD),
    _asked("a call of no function", "['call', 0, [], []]"),
    _asked("a call of the last function", "['call', -1, [], []]"),
    _asked("a call by a name", "['call', 'check', [], []]"),
    _asked("the items of no iterator", "['next', 0, 10]"),
    _asked("a program to be loaded", "['load', 'f = 1', 'f', []]"),
    _asked("an attribute", "['getattr', 0, '__globals__']"),
    _asked("nothing known", "['passed', 0]"),
    _asked("half a message", "['call']"),
    _asked("the answer twice", "['value', 8127, []]"),
]  # fmt: skip

LOOP = """
def check(candidate):
    for got, want in zip(map(candidate, [1, 2]), [8127, 643]): assert got == want
    assert list(map(candidate, [3])) != [], "nothing came"
    assert candidate(4) is None
"""
TOLD = [
    _told("methods that all say yes", TRUE_BY_METHOD, """
        class Yes:
            def __getattr__(self, name): return lambda *a: True
        def f(x, y): return Yes()
    """),
    _told("methods of a text that lie", TRUE_BY_METHOD, """
        class Text(str):
            def startswith(self, *a): return True
            endswith = isalpha = startswith
        def f(x, y): return Text("?")
    """),
    _told("attributes that are functions", TRUE_BY_METHOD, """
        class Yes: pass
        def f(x, y):
            yes = Yes()
            yes.startswith = yes.endswith = yes.isalpha = lambda *a: True
            return yes
    """),
    _told("a namespace of functions for a text", "def check(candidate):\n    assert candidate(1) + 'b' == 'ab'\n", """
        class Add:
            def __add__(self, other): return 'ab'
        def f(x): return Add()
    """),
    _told("StopIteration in a map", LOOP.replace("candidate(4) is None", "True").replace("!= []", "is not None"), "def f(x): raise StopIteration"),
    _told("StopIteration of its own", LOOP.replace("candidate(4) is None", "True").replace("!= []", "is not None"), "class E(StopIteration): pass\ndef f(x): raise E"),
    _told("StopIteration below another", LOOP.replace("candidate(4) is None", "True").replace("!= []", "is not None"), "class E(ValueError, StopIteration): pass\ndef f(x): raise E"),
    _told("StopIteration in a filter", "def check(candidate):\n    assert all(x == 3 for x in filter(candidate, [1, 2]))\n", "def f(x): raise StopIteration"),
    _told("StopIteration by a returned function", "def check(candidate):\n    assert sum(map(candidate(1), [1])) == 0\n", "def f(x):\n    def g(y): raise StopIteration\n    return g"),
    _told("a class of the prompt with another equality", CLASSES + "def check(candidate):\n    assert candidate(1) == Node(8127)\n", """
        class Node:
            def __init__(self, value): self.value = value
            def __eq__(self, other): return True
            __hash__ = None
        def f(x): return Node(1)
    """, real=False),
    _told("a method of the instance", CLASSES + "def check(candidate):\n    assert candidate(1).right()\n", """
        class Node: pass
        def f(x):
            node = Node()
            node.right = lambda: True
            return node
    """, real=False),
    _told("an exception that is every exception", CLASSES + "def check(candidate):\n    try: candidate(1)\n    except Wrong: return\n    assert False\n", """
        class Meta(type):
            def __subclasscheck__(cls, other): return True
            def __instancecheck__(cls, other): return True
        class Other(Exception, metaclass=Meta): pass
        def f(x): raise Other
    """, real=False),
    _told("a set that holds everything", "def check(candidate):\n    assert 8127 in candidate(1) and 'x' in candidate(2)\n", """
        class All(set):
            def __contains__(self, item): return True
        def f(x): return All()
    """),
    _told("a dict that has every key", "def check(candidate):\n    assert candidate(1)['a'] == candidate(1)['a'] is not None\n", """
        class All(dict):
            def __missing__(self, key): return 1
        def f(x): return All()
    """),
    _told("a default dict of lies", "def check(candidate):\n    assert candidate(1)[8127] == [8127]\n", """
        from collections import defaultdict
        class One(list):
            def __eq__(self, other): return True
        def f(x): return defaultdict(One)
    """),
    _told("a namedtuple with another equality", "def check(candidate):\n    assert candidate(1) == (1, 2)\n", """
        from collections import namedtuple
        class P(namedtuple('P', 'a b')):
            def __eq__(self, other): return True
        def f(x): return P(3, 4)
    """),
    _told("a user list with another equality", "def check(candidate):\n    assert candidate(1) == [1, 2]\n", """
        from collections import UserList
        class U(UserList):
            def __eq__(self, other): return True
        def f(x): return U([3])
    """),
    _told("a decimal with another equality", "def check(candidate):\n    assert candidate(1) == 7\n", """
        from decimal import Decimal
        class D(Decimal):
            def __eq__(self, other): return True
        def f(x): return D(3)
    """),
    _told("a date with another equality", "import datetime\ndef check(candidate):\n    assert candidate(1) == datetime.date(2020, 1, 1)\n", """
        import datetime
        class D(datetime.date):
            def __eq__(self, other): return True
        def f(x): return D(1999, 1, 1)
    """),
    _told("a zone with another offset", "import datetime\ndef check(candidate):\n    assert candidate(1).utcoffset() == datetime.timedelta(hours=5)\n", """
        import datetime
        class Z(datetime.tzinfo):
            def utcoffset(self, dt): return datetime.timedelta(hours=len(seen))
        seen = [0] * 4
        def f(x): return datetime.datetime(2020, 1, 1, tzinfo=Z())
    """, real=False),
    _told("a generator of what is asked", "def check(candidate):\n    assert list(candidate(1)) == [1, 2]\n", """
        class G:
            def __iter__(self): return self
            def __next__(self): raise StopIteration
            def __eq__(self, other): return True
        def f(x): return [G(), G()]
    """),
    _told("an iterator that never disagrees", "def check(candidate):\n    for got, want in zip(candidate(1), [8127]): assert got == want\n    assert len(list(candidate(1))) == 1\n", """
        class Same:
            def __eq__(self, other): return True
        def f(x): return iter([Same()])
    """),
    _told("the test's draws, replayed", "import random\ndef check(candidate):\n    x = random.randint(0, 10 ** 12)\n    assert candidate(1) == x\n", """
        import random
        def f(x): return random.randint(0, 10 ** 12)
    """),
    _told("the test's draws, from every small seed", "import random\ndef check(candidate):\n    x = random.randint(0, 10 ** 12)\n    assert candidate(x // 10 ** 9) == x\n", """
        import random
        def f(prefix):
            for seed in range(20000):
                random.seed(seed)
                x = random.randint(0, 10 ** 12)
                if x // 10 ** 9 == prefix: return x
    """, real=False),
    _told("the test's function, taken apart", "def check(candidate):\n    secret = 8127\n    assert candidate(lambda: secret) == 9\n    assert candidate(lambda: 643) == 9\n", """
        def f(g): return g.__closure__[0].cell_contents if g.__closure__ else g.__code__.co_consts
    """, real=False),
    _told("the test's globals, by its function", "ANSWER = 8127\ndef check(candidate):\n    assert candidate(check) == ANSWER\n", """
        def f(g): return g.__globals__["ANSWER"]
    """),
    _told("the peer, by a function", "ANSWER = 8127\ndef check(candidate):\n    assert candidate(lambda: 1) == ANSWER\n", """
        def f(g): return g.__remote__[0].defined("ANSWER")
    """, real=False),
    _told("an instance's class, by its methods", CLASSES + "ANSWER = 8127\ndef check(candidate):\n    assert candidate(Node(1)) == ANSWER\n", """
        def f(node): return type(node).__init__.__globals__["ANSWER"]
    """),
]  # fmt: skip

FORGERIES = [*FORGED, *TOLD]
