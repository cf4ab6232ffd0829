"""A task on a decoder: generate -> extract -> execute -> score. Knows no statistics and no files.

Programs are executed after all text is generated, so that a busy device never makes a correct program
time out.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TYPE_CHECKING

from quantbench.decoding import Decoder
from quantbench.evaluation.generate import Generator, Sample
from quantbench.evaluation.grading import grade
from quantbench.progress import Progress
from quantbench.records import Completion, TaskResult
from quantbench.sandbox.pool import Sandbox
from quantbench.sandbox.program import Execution
from quantbench.settings import GenerationSettings
from quantbench.tasks.problem import Task

if TYPE_CHECKING:
    from tokenizers import Tokenizer

OpenSandbox = Callable[[], AbstractContextManager[Sandbox]]


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
        with sandbox() as box:
            executions = grade([sample.answer for sample in samples], box, progress).executions
            mode, seed = box.mode, box.seed
        executed = clock()
        result = TaskResult(
            task=task.name,
            protocol=task.protocol.label,
            data_sha256=task.data_sha256,
            comparable=task.comparable,
            problems=len(task.problems),
            completions=tuple(completion(s, e) for s, e in zip(samples, executions, strict=True)),
            sandbox=mode,
            test_seed=seed,
            generate_s=generated - start,
            execute_s=executed - generated,
            generated_tokens=sum(sample.tokens for sample in samples),
            batch_size=settings.batch_size,
            temperature=settings.temperature,
            note=task.note,
        )
        yield result, samples


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


def completion(sample: Sample, execution: Execution) -> Completion:
    """What a record keeps of one sample and its execution."""
    return Completion(
        task_id=sample.problem.task_id,
        sample=sample.index,
        outcome=execution.outcome,
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
