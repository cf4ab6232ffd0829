"""Wrong variants of a member's body: what a test must tell from the right one.

Two sources: one small change of the syntax tree (a comparison, an operator, a constant, a condition), and
the bodies of other members of the same family, which answer a slightly different question.
"""

import ast
import copy
import random
from collections.abc import Callable, Iterator
from typing import Any

from training.family import Member, draw_member, function_of

MAX_TICKS = 5_000  # rounds of a while loop before a variant counts as endless
TICK = "tick_"

_COMPARE: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_OPERATE: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
}
_NAMES = {"max": "min", "min": "max", "sum": "len", "any": "all", "all": "any", "len": "sum"}
_ATTRIBUTES = {
    "upper": "lower",
    "lower": "upper",
    "ljust": "rjust",
    "rjust": "ljust",
    "startswith": "endswith",
}


def wrong_variants(member: Member, rng: random.Random, siblings: int = 12) -> list[str]:
    """Bodies (placeholder names) that differ from the member's, without repeats."""
    right = member.body
    found = list(dict.fromkeys(_changed(right)))
    for _ in range(siblings):
        found.append(draw_member(member.family, rng).body)
    return [body for body in dict.fromkeys(found) if body != right]


def guarded(body: str, arguments: int) -> Callable[..., Any]:
    """The body as a function in which an endless `while` raises RuntimeError."""
    tree = ast.parse(_hide(body))
    for node in ast.walk(tree):
        if isinstance(node, ast.While):
            node.body.insert(0, ast.parse(f"{TICK}()").body[0])
    function = function_of(_show(ast.unparse(ast.fix_missing_locations(tree))), arguments)
    function.__globals__[TICK] = _Ticks()
    return function


class _Ticks:
    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1
        if self.count > MAX_TICKS:
            raise RuntimeError("endless loop")


def _hide(body: str) -> str:
    """Placeholder names as identifiers, in a function's body so that `return` parses."""
    for letter in "abc":
        body = body.replace(f"@{letter}", f"argument_{letter}")
    return "def f():\n" + "\n".join("    " + line for line in body.splitlines())


def _show(source: str) -> str:
    lines = source.splitlines()[1:]
    body = "\n".join(line[4:] for line in lines)
    for letter in "abc":
        body = body.replace(f"argument_{letter}", f"@{letter}")
    return body


def _changed(body: str) -> Iterator[str]:
    tree = ast.parse(_hide(body))
    for index, node in enumerate(ast.walk(tree)):
        for number in range(_choices(node)):
            changed = copy.deepcopy(tree)
            target = list(ast.walk(changed))[index]
            _change(target, number)
            yield _show(ast.unparse(ast.fix_missing_locations(changed)))


def _choices(node: ast.AST) -> int:
    """In how many ways a node can be changed."""
    if isinstance(node, ast.Constant):
        return 2 if isinstance(node.value, int) and not isinstance(node.value, bool) else 1
    if isinstance(node, ast.Compare):
        return len(node.ops)
    if isinstance(node, ast.BinOp | ast.AugAssign):
        return int(type(node.op) in _OPERATE)
    if isinstance(node, ast.Name):
        return int(node.id in _NAMES)
    if isinstance(node, ast.Attribute):
        return int(node.attr in _ATTRIBUTES)
    if isinstance(node, ast.comprehension):
        return int(bool(node.ifs))
    return int(isinstance(node, ast.BoolOp | ast.IfExp | ast.If | ast.UnaryOp | ast.Slice))


def _change(node: Any, number: int) -> None:
    match node:
        case ast.Constant(value=bool()):
            node.value = not node.value
        case ast.Constant(value=int()):
            node.value += 1 if number == 0 else -1
        case ast.Constant(value=str()):
            node.value += "e"
        case ast.Constant():
            node.value = 0
        case ast.Compare():
            node.ops[number] = _COMPARE.get(type(node.ops[number]), ast.Eq)()
        case ast.BinOp() | ast.AugAssign():
            node.op = _OPERATE[type(node.op)]()
        case ast.Name():
            node.id = _NAMES[node.id]
        case ast.Attribute():
            node.attr = _ATTRIBUTES[node.attr]
        case ast.comprehension():
            node.ifs = []
        case ast.BoolOp():
            node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        case ast.IfExp():
            node.body, node.orelse = node.orelse, node.body
        case ast.If():
            node.test = ast.UnaryOp(op=ast.Not(), operand=node.test)
        case ast.UnaryOp():
            node.op = ast.UAdd() if isinstance(node.op, ast.USub) else node.op
        case ast.Slice():
            node.lower, node.upper = node.upper, node.lower
