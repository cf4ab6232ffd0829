"""From answers to verdicts: the program of each, the sandbox, and what cannot be graded.

The one way from text to verdict. Knows no decoder and no files.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from quantbench.errors import TaskError
from quantbench.evaluation.extraction import Extracted, build_program
from quantbench.evaluation.plus import compute_tests, read_inputs, with_plus
from quantbench.progress import Progress
from quantbench.records import Outcome
from quantbench.sandbox.program import Box, Execution, Program
from quantbench.sandbox.referee import BROKEN_TEST
from quantbench.tasks import Problem
from quantbench.tasks.gsm8k import plain


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a model answered to a problem, as the program it makes."""

    problem: Problem
    extracted: Extracted
    refused: str | None = None  # why the model could not be given the prompt; it then has no program

    @property
    def program(self) -> Program:
        """The program with its problem's test."""
        return build_program(self.problem, self.extracted)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grades:
    """Executions in the answers' order; of problems that are `unusable` (task_id -> reason) there is none."""

    graded: tuple[int, ...]  # indices of the answers that have an execution
    executions: tuple[Execution, ...]
    unusable: Mapping[str, str] = field(default_factory=dict)
    broken_tests: tuple[str, ...] = ()  # task_ids whose tests could not be run, whatever the programs are


def grade(answers: Sequence[Answer], sandbox: Box, progress: Progress, *, plus: bool = False) -> Grades:
    """Run every answer's program; one that is no answer fails unrun.

    With `plus`, HumanEval+'s inputs take the place of the tests: base in one pass with plus.
    """
    tests, unusable = plus_tests(answers, sandbox) if plus else ({}, {})
    graded = tuple(i for i, answer in enumerate(answers) if answer.problem.task_id not in unusable)
    asked = [answers[i] for i in graded if answers[i].refused is None]
    programs = [tested(answer.program, tests) for answer in asked]
    finished = 0

    def on_done(index: int, execution: Execution) -> None:
        nonlocal finished
        finished += 1
        progress("executing programs", finished, len(programs))

    runs = iter(sandbox.run(programs, on_done=on_done))
    executions = tuple(unrun(reason) if (reason := answers[i].refused) else next(runs) for i in graded)
    return Grades(
        graded=graded,
        executions=executions,
        unusable=unusable,
        broken_tests=broken_tests([answers[i] for i in graded], executions),
    )


def grade_numbers(answers: Sequence[Answer]) -> tuple[Execution, ...]:
    """Whether each answer is the problem's number; nothing is run."""
    return tuple(unrun(answer.refused) if answer.refused else numbered(answer) for answer in answers)


def numbered(answer: Answer) -> Execution:
    """The verdict on one number."""
    given, right = answer.extracted.text, plain(answer.problem.test)
    if given == right:
        return Execution(outcome=Outcome.PASSED, detail="", seconds=0.0)
    return unrun(f"answered {given[:50]}, not {right}" if given else "no number")


def plus_tests(answers: Sequence[Answer], sandbox: Box) -> tuple[dict[str, str], dict[str, str]]:
    """Tests of base and plus inputs by task_id, and why a problem has none; TaskError where none has any."""
    problems = list({answer.problem.task_id: answer.problem for answer in answers}.values())
    inputs, reasons = read_inputs(problems)
    tests, failures = compute_tests(sandbox, [p for p in problems if p.task_id in inputs], inputs)
    reasons |= failures
    if not tests:
        task_id, reason = next(iter(reasons.items()))
        raise TaskError(f"no problem can be scored; {task_id}: {reason}; get a fresh copy of HumanEval+")
    return tests, reasons


def tested(program: Program, tests: Mapping[str, str]) -> Program:
    """The program under its problem's tests of inputs, where there are some."""
    return with_plus(program, tests[program.task_id]) if program.task_id in tests else program


def unrun(reason: str) -> Execution:
    """The execution of what is no answer."""
    return Execution(outcome=Outcome.FAILED, detail=reason, seconds=0.0)


def broken_tests(answers: Sequence[Answer], executions: Sequence[Execution]) -> tuple[str, ...]:
    """The problems whose tests could not be run: their answers count as failed."""
    names = dict.fromkeys(
        answer.problem.task_id
        for answer, execution in zip(answers, executions, strict=True)
        if execution.detail.startswith(BROKEN_TEST)
    )
    return tuple(names)
