"""HumanEval+ (Liu et al. 2023, arXiv:2305.01210): inputs and a reference in place of assertions.

The reference's answers are computed in a box, like those of the samples. Base and plus inputs are tried in
one pass: plus after a passed base. The rules of comparison are in sandbox/inside/closeness.py. A problem
whose inputs or reference cannot be used is named, and the others are scored.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from quantbench.records import Outcome
from quantbench.sandbox.inside.limits import Limits
from quantbench.sandbox.inside.values import pack
from quantbench.sandbox.program import Box, Program
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
check.calls_nothing = not CASES
"""
SAMPLE_TEST = """
import json
from quantbench.sandbox.inside.closeness import check_cases
from quantbench.sandbox.inside.values import unpack
BASE, PLUS = unpack(json.loads({cases}))
def check(candidate):
    check_cases(candidate, BASE, {entry_point!r}, {atol!r}, {dataset!r})
def check_plus(candidate):
    check_cases(candidate, PLUS, {entry_point!r}, {atol!r}, {dataset!r})
check.calls_nothing, check_plus.calls_nothing = not BASE, not PLUS
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlusInputs:
    """Of one problem: each input is the list of the function's arguments."""

    base: list[list[Any]]
    plus: list[list[Any]]
    atol: float


def read_inputs(problems: Iterable[Problem]) -> tuple[dict[str, PlusInputs], dict[str, str]]:
    """Inputs by task_id, and for each problem without usable ones the reason; nothing for HumanEval alone."""
    inputs: dict[str, PlusInputs] = {}
    reasons: dict[str, str] = {}
    for problem in problems:
        try:
            inputs[problem.task_id] = _inputs(problem.inputs or {})
        except ValueError as error:
            reasons[problem.task_id] = str(error)
    return inputs, reasons


def _inputs(fields: Mapping[str, Any]) -> PlusInputs:
    """ValueError says what is wrong."""
    for name in ("base_input", "plus_input"):
        lists = fields.get(name)
        if not isinstance(lists, list) or not all(isinstance(arguments, list) for arguments in lists):
            raise ValueError(f"its {name} is not a list of lists of arguments")
    atol = fields.get("atol", 0)
    if isinstance(atol, bool) or not isinstance(atol, int | float) or not 0 <= atol < math.inf:
        raise ValueError("its atol is not a number from 0 on")
    return PlusInputs(base=fields["base_input"], plus=fields["plus_input"], atol=float(atol))


def compute_tests(
    sandbox: Box, problems: Sequence[Problem], inputs: Mapping[str, PlusInputs]
) -> tuple[dict[str, str], dict[str, str]]:
    """A test for each problem, with its reference's answers from the box; for the rest, why there is none."""
    cases = [inputs[problem.task_id].base + inputs[problem.task_id].plus for problem in problems]
    programs = [_reference(problem, case) for problem, case in zip(problems, cases, strict=True)]
    tests: dict[str, str] = {}
    reasons: dict[str, str] = {}
    for problem, (execution, answers) in zip(problems, sandbox.collect(programs, "ANSWERS"), strict=True):
        if execution.outcome == Outcome.PASSED:
            tests[problem.task_id] = _sample_test(problem, inputs[problem.task_id], answers)
        else:
            reasons[problem.task_id] = (
                f"its reference ended as {execution.outcome.replace('_', ' ')} ({execution.detail})"
            )
    return tests, reasons


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
        cases=_literal([pairs[:split], pairs[split:]]),
        entry_point=problem.entry_point,
        atol=inputs.atol,
        dataset=problem.dataset,
    )


def _literal(value: Any) -> str:
    """A value as a Python literal of its packed JSON."""
    return repr(json.dumps(pack(value), separators=(",", ":")))
