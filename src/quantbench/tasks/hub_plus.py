"""HumanEval+ and MBPP+ as the hub's data sets have them (evalplus/humanevalplus, evalplus/mbppplus).

There is no list of inputs: `test` holds EvalPlus's comparison, the inputs of base and plus together, and the
reference's answers. HumanEval+ has HumanEval's fields. MBPP+ has a sentence, assertions and a test that calls
the function by its name; the prompt is made of sentence and first assertion as EvalPlus's own file has it.
Tests run where no library is: what they take of numpy is written out.
"""

import ast
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from quantbench.errors import TaskError
from quantbench.tasks.problem import Problem
from quantbench.tasks.problem_file import read_problems, read_rows

HUB_FILES = "data/test-*.parquet"
MBPP_FIELDS = ("prompt", "code", "test")
# The test is a program of its own: it runs where the candidate has the function's name.
CHECK = """
TEST = {test!r}
def check(candidate):
    exec(compile(TEST, "test", "exec"), {{{entry_point!r}: candidate, "__name__": "test"}})
"""
NUMPY = """
class np:
    ndarray = float32 = float64 = type("nothing", (), {})

    @staticmethod
    def allclose(out, exp, rtol=1e-05, atol=1e-08):
        if isinstance(exp, (list, tuple)):
            pairs = zip(out, exp)
            return len(out) == len(exp) and all(np.allclose(a, b, rtol, atol) for a, b in pairs)
        return out == exp or abs(out - exp) <= atol + rtol * abs(exp)
"""


def file_in(path: Path) -> Path:
    """The file itself; of a data set's folder its test split. TaskError for a folder without one."""
    if not path.is_dir():
        return path
    found = sorted((*path.glob(HUB_FILES), *path.glob("test*.parquet"), *path.glob("*.jsonl*")))
    if not found:
        raise TaskError(f"the folder '{path}' holds no {HUB_FILES} and no .jsonl file; give the data set's")
    return found[-1]


def is_hub_form(path: Path) -> bool:
    """Whether a file's rows have a test in place of plus inputs."""
    rows = read_rows(path)
    first = rows[0][1] if rows else None
    return isinstance(first, Mapping) and "plus_input" not in first and bool(first.get("test"))


def read_hub_form(name: str, path: Path) -> tuple[Problem, ...]:
    """All problems of the file; TaskError names a row that is none."""
    rows = read_rows(path)
    if not any("test_list" in row for _, row in rows):
        return tuple(replace(problem, test=without_numpy(problem.test)) for problem in read_problems(path))
    return tuple(mbpp_problem(row, number, name) for number, row in rows)


def mbpp_problem(row: Mapping[str, Any], number: int, name: str) -> Problem:
    """A row of evalplus/mbppplus; TaskError for one that lacks a field, or whose test calls nothing."""
    missing = [field for field in MBPP_FIELDS if not isinstance(row.get(field), str)]
    assertions = row.get("test_list")
    if missing or not isinstance(assertions, list) or not assertions:
        field = missing[0] if missing else "test_list"
        raise TaskError(f"problem {number} lacks '{field}'; give the data set of {name} from the hub")
    entry_point = called(row["test"], row["code"])
    if entry_point is None:
        raise TaskError(f"the test of problem {number} calls no function of its code; get a fresh copy")
    test = "\n".join([*map(str, row.get("test_imports") or ()), without_numpy(row["test"])])
    return Problem(
        task_id=f"Mbpp/{row.get('task_id', number)}",
        prompt=f'"""\n{row["prompt"].strip()}\n{assertions[0]}\n"""\n',
        canonical_solution=row["code"],
        test=CHECK.format(test=test, entry_point=entry_point),
        entry_point=entry_point,
    )


def without_numpy(test: str) -> str:
    """A test whose numpy is the closeness of numbers alone."""
    return test.replace("import numpy as np\n", NUMPY)


def called(test: str, code: str) -> str | None:
    """The last function of the code that the test calls; None where it calls none, or either is no Python."""
    try:
        defined = {node.name for node in ast.walk(ast.parse(code)) if isinstance(node, ast.FunctionDef)}
        own = {node.name for node in ast.walk(ast.parse(test)) if isinstance(node, ast.FunctionDef)}
        names = [
            node.func.id
            for node in ast.walk(ast.parse(test))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        ]
    except (SyntaxError, ValueError):
        return None
    return next((name for name in reversed(names) if name in defined - own), None)
