"""Changes right solutions a little, and says by a plain run of their tests which still pass.

    python -m tests.sandbox.mutants HumanEval.jsonl.gz [--per-problem 8] [--mutator text] [--mode landlock]

compares the sandbox's verdicts with the plain ones on all of them and prints every difference. `tree` changes
what the function computes and the types that it returns; `text` damages the completion as text, as a model
that stops early or garbles a line does.
"""

import argparse
import ast
import copy
import json
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from quantbench.sandbox.inside.limits import Limits
from quantbench.sandbox.pool import open_sandbox
from quantbench.sandbox.program import Program
from quantbench.tasks.problem import Problem
from quantbench.tasks.problem_file import read_problems

LIMITS = Limits(cpu_s=1, wall_s=8.0)

# What a returned value is replaced by: other types show whether rebuilt values compare as the real ones.
RETURNS = (
    "({})", "[{}]", "({},)", "str({})", "list({})", "tuple({})", "set({})", "frozenset({})", "iter({})",
    "(item for item in {})", "map(lambda item: item, {})", "reversed({})", "dict.fromkeys({})",
    "dict.fromkeys({}).keys()", "dict(enumerate({})).values()", "bool({})", "float({})", "int({})",
    "complex({})", "-({})", "({}) or None", "lambda: {}", "__import__('fractions').Fraction({})",
    "__import__('decimal').Decimal({})", "__import__('collections').deque({})", "bytes({})", "range({})",
    "type('Own', (int,), {{}})({})", "type('Own', (str,), {{}})({})", "type('Own', (list,), {{}})({})",
    "zip({})", "float('nan')", "None", "NotImplemented", "({}, {})", "1 / 0 if {} else 0",
)  # fmt: skip
COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Mod: ast.FloorDiv, ast.FloorDiv: ast.Div,
    ast.Div: ast.FloorDiv,
}  # fmt: skip
NAMES = {
    "max": "min",
    "min": "max",
    "sum": "len",
    "sorted": "list",
    "abs": "float",
    "all": "any",
    "any": "all",
}

# Runs each program's test in a process of its own, as the official evaluator would: in its namespace.
PLAIN = """
import json, os, random, resource, sys
for line in sys.stdin:
    source = json.loads(line)
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_RDWR), 1)
        resource.setrlimit(resource.RLIMIT_CPU, (1, 1))
        resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
        try:
            random.seed(0)
            exec(source, {})
            os._exit(0)
        except BaseException:
            os._exit(1)
    print(os.waitpid(child, 0)[1] == 0, flush=True)
"""


Change = Callable[[ast.AST], Iterator[Callable[[], None]]]


def mutants(problem: Problem, count: int) -> list[Program]:
    """`count` changed solutions, the same ones each time: half of them change what is returned."""
    tree = ast.parse(problem.prompt + problem.canonical_solution)
    function = next(n for n in tree.body if getattr(n, "name", "") == problem.entry_point)
    chance = random.Random(problem.task_id)
    chosen: list[str] = []
    for change, share in ((_other_returns, count // 2), (_other_code, count - count // 2)):
        nodes = list(ast.walk(function))
        places = [(at, nth) for at, node in enumerate(nodes) for nth, _ in enumerate(change(node))]
        for place in chance.sample(places, min(share, len(places))):
            chosen.append(_changed(tree, problem.entry_point, change, place))
    return [_program(problem, source) for source in chosen]


def _changed(tree: ast.Module, name: str, change: Change, place: tuple[int, int]) -> str:
    """The source after the nth change of the node at a place in the function's walk."""
    fresh = copy.deepcopy(tree)
    function = next(n for n in fresh.body if getattr(n, "name", "") == name)
    list(change(list(ast.walk(function))[place[0]]))[place[1]]()
    return ast.unparse(ast.fix_missing_locations(fresh)) + "\n"


def _program(problem: Problem, source: str) -> Program:
    return Program(
        task_id=problem.task_id,
        prompt=problem.prompt,
        completion=source,
        test=problem.test,
        entry_point=problem.entry_point,
        standalone=True,
    )


def text_mutants(problem: Problem, count: int) -> list[Program]:
    """`count` completions with damaged text, the same ones each time."""
    chance = random.Random(f"text {problem.task_id}")
    damages = [chance.choice(DAMAGES) for _ in range(count)]
    lines = problem.canonical_solution.splitlines(keepends=True)
    return [
        Program(
            task_id=problem.task_id,
            prompt=problem.prompt,
            completion=damage(list(lines), chance),
            test=problem.test,
            entry_point=problem.entry_point,
        )
        for damage in damages
    ]


def _cut(lines: list[str], chance: random.Random) -> str:
    text = "".join(lines)
    return text[: chance.randrange(len(text))]


def _cut_line(lines: list[str], chance: random.Random) -> str:
    return "".join(lines[: chance.randrange(len(lines) + 1)])


def _without_line(lines: list[str], chance: random.Random) -> str:
    del lines[chance.randrange(len(lines))]
    return "".join(lines)


def _line_twice(lines: list[str], chance: random.Random) -> str:
    at = chance.randrange(len(lines))
    return "".join([*lines[: at + 1], *lines[at:]])


def _lines_swapped(lines: list[str], chance: random.Random) -> str:
    a, b = chance.randrange(len(lines)), chance.randrange(len(lines))
    lines[a], lines[b] = lines[b], lines[a]
    return "".join(lines)


def _indented(lines: list[str], chance: random.Random) -> str:
    at = chance.randrange(len(lines))
    lines[at] = chance.choice(("    ", " ", "\t")) + lines[at]
    return "".join(lines)


def _dedented(lines: list[str], chance: random.Random) -> str:
    at = chance.randrange(len(lines))
    lines[at] = lines[at].removeprefix("    ")
    return "".join(lines)


def _character(lines: list[str], chance: random.Random) -> str:
    text = "".join(lines)
    at = chance.randrange(len(text))
    return text[:at] + chance.choice("0123456789+-*/%<>=()[]:,.'\\ \nabxi") + text[at + 1 :]


def _ended(lines: list[str], chance: random.Random) -> str:
    """As a completion may end: in the middle of something, or with more behind it."""
    return "".join(lines).rstrip("\n") + chance.choice(ENDINGS)


DAMAGES = (
    *(_cut, _cut_line, _without_line, _line_twice, _lines_swapped),
    *(_indented, _dedented, _character, _ended, _ended),
)
ENDINGS = (
    "", "\\", " \\", " \\\n", "\n\\", "\n    \\", ";", " #", "\n\n\n", "\n    pass", "\n#", "\n'''", "\n(",
    "\ndef g():", "\ndef g():\n    return 1", "\nif True:", "\nif True:\n    x = 1", "\n    yield 1",
    "\nprint('done')", "\nassert True", "\nassert False", "\nraise SystemExit", "\nimport sys", "\nx = 1 +",
    "\r\n", "\n\x0c", "\n\\\n", "\nfrom __future__ import annotations", "\n\x00",
    "\nif __name__ == '__main__':\n    exit()",
)  # fmt: skip
MUTATORS: dict[str, Callable[[Problem, int], list[Program]]] = {"tree": mutants, "text": text_mutants}


def _other_returns(node: ast.AST) -> Iterator[Callable[[], None]]:
    if isinstance(node, ast.Return) and node.value is not None:
        text = f"({ast.unparse(node.value)})"
        for form in RETURNS:
            value = ast.parse(form.format(*[text] * 2), mode="eval").body
            yield lambda value=value: setattr(node, "value", value)


def _other_code(node: ast.AST) -> Iterator[Callable[[], None]]:
    if isinstance(node, ast.Compare) and type(node.ops[0]) in COMPARISONS:
        yield lambda: node.ops.__setitem__(0, COMPARISONS[type(node.ops[0])]())
    if isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in OPERATORS:
        yield lambda: setattr(node, "op", OPERATORS[type(node.op)]())
    if isinstance(node, ast.BoolOp):
        yield lambda: setattr(node, "op", ast.Or() if isinstance(node.op, ast.And) else ast.And())
    if isinstance(node, ast.If | ast.IfExp):
        yield lambda: setattr(node, "test", ast.UnaryOp(op=ast.Not(), operand=node.test))
    if isinstance(node, ast.Name) and node.id in NAMES:
        yield lambda: setattr(node, "id", NAMES[node.id])
    if isinstance(node, ast.Constant) and isinstance(node.value, int) and not isinstance(node.value, bool):
        yield lambda: setattr(node, "value", node.value + 1)
        yield lambda: setattr(node, "value", node.value - 1)
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield lambda: setattr(node, "value", not node.value)
    if isinstance(node, ast.FunctionDef | ast.For | ast.If) and len(node.body) > 1:
        yield lambda: node.body.pop()


def plain_verdicts(programs: Sequence[Program]) -> list[bool]:
    """Whether each program's test passes in the program's own process, without a sandbox."""
    lines = [json.dumps(f"{p.text}\n{p.test}\ncheck({p.entry_point})") for p in programs]
    command = [sys.executable, "-s", "-P", "-S", "-c", PLAIN]
    ended = subprocess.run(
        command,
        input="\n".join(lines),
        env={"PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=True,
    )
    return [line == "True" for line in ended.stdout.splitlines()]


def differences(programs: Sequence[Program], mode: str | None = None) -> tuple[list[str], Counter[str]]:
    """Programs whose two verdicts differ, and how the sandbox's runs ended."""
    with open_sandbox(mode=mode, limits=LIMITS) as sandbox:
        executions = sandbox.run(programs)
    found = [
        f"{program.task_id}: plain {plain}, {execution.outcome} ({execution.detail})\n{program.text}"
        for program, execution, plain in zip(programs, executions, plain_verdicts(programs), strict=True)
        if (execution.outcome == "passed") != plain
    ]
    return found, Counter(execution.outcome.value for execution in executions)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--per-problem", type=int, default=8)
    parser.add_argument("--mutator", choices=list(MUTATORS), default="tree")
    parser.add_argument("--mode")
    options = parser.parse_args()
    change = MUTATORS[options.mutator]
    problems = read_problems(options.data)
    programs = [mutant for problem in problems for mutant in change(problem, options.per_problem)]
    found, outcomes = differences(programs, options.mode)
    print(*found, sep="\n")
    print(f"{len(programs)} mutants: {dict(outcomes)}; {len(found)} verdicts differ")


if __name__ == "__main__":
    main()
