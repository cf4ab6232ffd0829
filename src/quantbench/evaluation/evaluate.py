"""A task on a decoder: generate -> extract -> execute -> score. Knows no statistics and no files.

Programs are executed after all text is generated, so that a busy device never makes a correct program
time out.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from quantbench.decoding import Decoder
from quantbench.evaluation.generate import Generator, Sample
from quantbench.evaluation.grading import Grades, grade, grade_numbers
from quantbench.progress import Progress
from quantbench.records import NO_SANDBOX, Completion, Outcome, TaskResult
from quantbench.sandbox.program import Box, Execution
from quantbench.settings import GenerationSettings
from quantbench.tasks.problem import Grading, Task

if TYPE_CHECKING:
    from tokenizers import Tokenizer

OpenSandbox = Callable[[], AbstractContextManager[Box]]


def evaluate(
    task: Task,
    decoder: Decoder,
    tokenizer: "Tokenizer",
    eos_ids: frozenset[int],
    settings: GenerationSettings,
    *,
    sandbox: OpenSandbox,
    progress: Progress,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[TaskResult, list[Sample]]:
    """Generate and score a task; the sandbox is opened only when the text is there."""
    generator = Generator(decoder, tokenizer, eos_ids, settings, [task])
    return next(
        evaluate_protocols([task], generator, settings, sandbox=sandbox, progress=progress, clock=clock)
    )


def evaluate_protocols(
    tasks: Sequence[Task],
    generator: Generator,
    settings: GenerationSettings,
    *,
    sandbox: OpenSandbox,
    progress: Progress,
    clock: Callable[[], float] = time.perf_counter,
) -> Iterator[tuple[TaskResult, list[Sample]]]:
    """Each task of the same problems in its turn; answers that several share are generated for the first."""
    for task in tasks:
        start = clock()
        samples = generator.samples(task, progress)
        generated = clock()
        graded = grade_task(task, samples, sandbox, progress)
        executed = clock()
        result = TaskResult(
            task=task.name,
            protocol=task.protocol.label,
            data_sha256=task.data_sha256,
            comparable=task.comparable,
            problems=len(task.problems) - len(graded.grades.unusable),
            completions=tuple(
                completion(samples[index], execution, plus=task.grading is Grading.PLUS)
                for index, execution in zip(graded.grades.graded, graded.grades.executions, strict=True)
            ),
            sandbox=graded.sandbox,
            test_seed=graded.test_seed,
            generate_s=generated - start,
            execute_s=executed - generated,
            verdicts_found=sum(execution.found for execution in graded.grades.executions),
            generated_tokens=sum(sample.tokens for sample in samples),
            batch_size=generator.batch_size,
            temperature=settings.temperature,
            note=noted(task, settings.batch_size, generator.batch_size),
        )
        yield result, samples


def noted(task: Task, asked: int, used: int) -> str | None:
    """The task's note, and where memory ran out what that changed."""
    if used == asked:
        return task.note
    ran_out = (
        f"memory ran out at batch {asked}, so the rest was answered at batch {used}; answers that depend on "
        "their batch may differ in near ties"
    )
    return f"{task.note}; {ran_out}" if task.note else ran_out


@dataclass(frozen=True, slots=True, kw_only=True)
class Graded:
    """Verdicts, and the sandbox in which they were made."""

    grades: Grades
    sandbox: str
    test_seed: int | None = None


def grade_task(task: Task, samples: Sequence[Sample], sandbox: OpenSandbox, progress: Progress) -> Graded:
    """Verdicts by the task's own way; the sandbox is opened for programs alone."""
    answers = [sample.answer for sample in samples]
    if task.grading is Grading.NUMBER:
        grades = Grades(graded=tuple(range(len(answers))), executions=grade_numbers(answers))
        return Graded(grades=grades, sandbox=NO_SANDBOX)
    with sandbox() as box:
        grades = grade(answers, box, progress, plus=task.grading is Grading.PLUS)
        return Graded(grades=grades, sandbox=box.mode, test_seed=box.seed)


def refusals(task: Task, samples: Sequence[Sample]) -> str | None:
    """A sentence that counts and names the problems that the model could not be asked; None without any."""
    reasons = {s.problem.task_id: s.refused for s in samples if s.refused}
    if not reasons:
        return None
    named = [f"{task_id} ({reason})" for task_id, reason in list(reasons.items())[:3]]
    return (
        f"{task.name}: {len(reasons)} of {len(task.problems)} problems could not be given to the model and "
        f"count as failed: {', '.join(named)}{', ...' if len(reasons) > 3 else ''}"
    )


def completion(sample: Sample, execution: Execution, *, plus: bool = False) -> Completion:
    """What a record keeps of one sample and its execution; with `plus`, base and plus inputs must pass."""
    base = execution.outcome
    more = next(iter(execution.extra), base)
    return Completion(
        task_id=sample.problem.task_id,
        sample=sample.index,
        outcome=more if plus and base is Outcome.PASSED else base,
        base_outcome=base if plus else None,
        detail=execution.detail[:500],
        finish_reason=sample.finish_reason,
        tokens=sample.tokens,
        seconds=execution.seconds,
        code_found=sample.extracted.found,
    )


def limit_task(task: Task, limit: int | None) -> Task:
    """The first `limit` problems of a task, marked as no longer comparable."""
    if limit is None or limit >= len(task.problems):
        return task
    note = f"only the first {limit} of {len(task.problems)} problems"
    return replace(
        task,
        problems=task.problems[:limit],
        comparable=False,
        note=f"{task.note}; {note}" if task.note else note,
    )
