"""HumanEval+ files (Liu et al. 2023, arXiv:2305.01210): inputs and a reference in place of assertions.

The reference's answers are computed in a box, like those of the samples. Base and plus inputs are tried in
one pass: plus after a passed base. The rules of comparison are in sandbox/inside/closeness.py.
"""

import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from quantbench.errors import TaskError
from quantbench.records import Outcome
from quantbench.sandbox.inside.limits import Limits
from quantbench.sandbox.inside.values import pack
from quantbench.sandbox.pool import Sandbox
from quantbench.sandbox.program import Program
from quantbench.tasks import Problem

PLUS_CHECK = "check_plus"
# Plus inputs are many and some are large: more CPU time than a program with a handful of assertions.
PLUS_LIMITS = Limits(cpu_s=10, wall_s=40.0)

REFERENCE_TEST = """
import json
from quantbench.sandbox.inside.values import unpack
CASES = unpack(json.loads({cases}))
ANSWERS = []
def check(candidate):
    for arguments in CASES:
        ANSWERS.append(candidate(*arguments))
"""
SAMPLE_TEST = """
import json
from quantbench.sandbox.inside.closeness import check_cases
from quantbench.sandbox.inside.values import unpack
BASE, PLUS = unpack(json.loads({cases}))
def check(candidate):
    check_cases(candidate, BASE, {entry_point!r}, {atol!r})
def check_plus(candidate):
    check_cases(candidate, PLUS, {entry_point!r}, {atol!r})
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlusInputs:
    """Of one problem: each input is the list of the function's arguments."""

    base: list[list[Any]]
    plus: list[list[Any]]
    atol: float


def read_plus_inputs(path: Path | None) -> dict[str, PlusInputs]:
    """Inputs by task_id, empty for a file that is not HumanEval+; TaskError for a damaged one."""
    if path is None or path.suffix == ".parquet":
        return {}
    raw = path.read_bytes()
    text = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode()
    rows = [json.loads(line) for line in text.splitlines() if line.strip()]
    if not any("plus_input" in row for row in rows):
        return {}
    return {row["task_id"]: _inputs(row, path) for row in rows}


def _inputs(row: Mapping[str, Any], path: Path) -> PlusInputs:
    base, plus, atol = row.get("base_input"), row.get("plus_input"), row.get("atol", 0)
    for inputs in (base, plus):
        if not isinstance(inputs, list) or not all(isinstance(arguments, list) for arguments in inputs):
            raise TaskError(
                f"{row['task_id']} of '{path.name}' lacks lists of arguments in base_input or plus_input; "
                "get a fresh copy of HumanEval+"
            )
    assert isinstance(base, list) and isinstance(plus, list)
    return PlusInputs(base=base, plus=plus, atol=float(atol))


def compute_tests(
    sandbox: Sandbox, problems: Sequence[Problem], inputs: Mapping[str, PlusInputs]
) -> dict[str, str]:
    """A test for each problem, with the answers that its reference gave in the box."""
    cases = [inputs[problem.task_id].base + inputs[problem.task_id].plus for problem in problems]
    programs = [_reference(problem, case) for problem, case in zip(problems, cases, strict=True)]
    collected = sandbox.collect(programs, "ANSWERS")
    for program, (execution, _) in zip(programs, collected, strict=True):
        if execution.outcome != Outcome.PASSED:
            raise TaskError(f"{program.task_id}: {execution.outcome} ({execution.detail}); get a fresh copy")
    answers = [answer for _, answer in collected]
    return {
        problem.task_id: _sample_test(problem, inputs[problem.task_id], answer)
        for problem, answer in zip(problems, answers, strict=True)
    }


def with_plus(program: Program, test: str) -> Program:
    """The program under a test with both checks."""
    return replace(program, test=test, extra_checks=(PLUS_CHECK,))


def _reference(problem: Problem, cases: list[list[Any]]) -> Program:
    return Program(
        task_id=f"the reference of {problem.task_id}",
        prompt=problem.prompt,
        completion=problem.canonical_solution,
        test=REFERENCE_TEST.format(cases=_literal(cases)),
        entry_point=problem.entry_point,
    )


def _sample_test(problem: Problem, inputs: PlusInputs, answers: list[Any]) -> str:
    pairs = list(zip(inputs.base + inputs.plus, answers, strict=True))
    split = len(inputs.base)
    return SAMPLE_TEST.format(
        cases=_literal([pairs[:split], pairs[split:]]), entry_point=problem.entry_point, atol=inputs.atol
    )


def _literal(value: Any) -> str:
    """A value as a Python literal of its packed JSON."""
    return repr(json.dumps(pack(value), separators=(",", ":")))
