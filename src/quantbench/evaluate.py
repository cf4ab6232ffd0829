"""A task on a decoder: generate -> extract -> execute -> score. Knows no statistics and no files.

Programs are executed after all text is generated, so that a busy device never makes a correct program
time out. Every method gets the same requests in the same order at the same batch size.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from quantbench.decoding import Decoder, FinishReason, Generation, Request
from quantbench.extraction import Extracted, build_program
from quantbench.records import Completion, TaskResult
from quantbench.sandbox.pool import Sandbox
from quantbench.sandbox.program import Execution, Program
from quantbench.tasks.problem import Problem, Task

if TYPE_CHECKING:
    from tokenizers import Tokenizer

STOP_WINDOW = 24  # tokens before the new ones that are decoded again when looking for a stop


class Progress(Protocol):
    """Told how far a stage is; total may be 0 when it is not known."""

    def __call__(self, stage: str, done: int, total: int) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationSettings:
    """Lengths in tokens; temperature 0 is greedy."""

    batch_size: int
    max_new_tokens: int | None = None  # None is the protocol's own limit
    completions_per_problem: int = 1
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One completion as text, cut at its earliest stop."""

    problem: Problem
    index: int
    text: str
    finish_reason: FinishReason
    tokens: int

    @property
    def program(self) -> Program:
        """The completion behind the problem's own prompt, as the official evaluator joins them."""
        return build_program(self.problem, Extracted(text=self.text))


class StopStrings:
    """A StopCheck: whether the text of the newest tokens holds one of the stops."""

    def __init__(self, tokenizer: "Tokenizer", stops: Sequence[str]) -> None:
        self._tokenizer = tokenizer
        self._stops = tuple(stops)

    def __call__(self, token_ids: Sequence[int], new: int) -> bool:
        tail = self._tokenizer.decode(list(token_ids[-(new + STOP_WINDOW) :]))
        return any(stop in tail for stop in self._stops)


def build_requests(
    task: Task,
    decoder: Decoder,
    tokenizer: "Tokenizer",
    eos_ids: frozenset[int],
    settings: EvaluationSettings,
) -> list[Request]:
    """One request per problem and sample, problem by problem; prompts keep the tokenizer's own BOS rule."""
    should_stop = StopStrings(tokenizer, task.protocol.stops)
    limit = settings.max_new_tokens or task.protocol.max_new_tokens
    requests = []
    for number, problem in enumerate(task.problems):
        prompt_ids = tuple(tokenizer.encode(task.protocol.prompt(problem)).ids)
        for index in range(settings.completions_per_problem):
            requests.append(
                Request(
                    prompt_ids=prompt_ids,
                    max_new_tokens=max(1, min(limit, decoder.max_positions - len(prompt_ids))),
                    eos_ids=eos_ids,
                    should_stop=should_stop,
                    temperature=settings.temperature,
                    top_p=settings.top_p,
                    seed=settings.seed * 1_000_003 + number * 1_009 + index,
                )
            )
    return requests


def generate_samples(
    task: Task,
    decoder: Decoder,
    tokenizer: "Tokenizer",
    eos_ids: frozenset[int],
    settings: EvaluationSettings,
    progress: Progress,
) -> list[Sample]:
    """All completions of a task, in the problems' order."""
    requests = build_requests(task, decoder, tokenizer, eos_ids, settings)
    finished = 0

    def on_finish(index: int, generation: Generation) -> None:
        nonlocal finished
        finished += 1
        progress(f"{task.name}: generating", finished, len(requests))

    generations = decoder.generate(requests, batch_size=settings.batch_size, on_finish=on_finish)
    slots = _sample_slots(task, settings.completions_per_problem)
    return [
        extract(task, problem, index, generation, tokenizer)
        for (problem, index), generation in zip(slots, generations, strict=True)
    ]


def _sample_slots(task: Task, per_problem: int) -> Iterator[tuple[Problem, int]]:
    for problem in task.problems:
        for index in range(per_problem):
            yield problem, index


def extract(
    task: Task, problem: Problem, index: int, generation: Generation, tokenizer: "Tokenizer"
) -> Sample:
    """The generated text up to its earliest stop; what a decoder wrote past it is dropped."""
    text = tokenizer.decode(list(generation.token_ids))
    cut = task.protocol.truncate(text)
    reason = FinishReason.STOP if len(cut) < len(text) else generation.finish_reason
    return Sample(
        problem=problem, index=index, text=cut, finish_reason=reason, tokens=len(generation.token_ids)
    )


def execute_samples(samples: Sequence[Sample], sandbox: Sandbox, progress: Progress) -> list[Execution]:
    """Run every sample's program; results in the samples' order."""
    finished = 0

    def on_done(index: int, execution: Execution) -> None:
        nonlocal finished
        finished += 1
        progress("executing programs", finished, len(samples))

    return sandbox.run([sample.program for sample in samples], on_done=on_done)


def evaluate(
    task: Task,
    decoder: Decoder,
    tokenizer: "Tokenizer",
    eos_ids: frozenset[int],
    settings: EvaluationSettings,
    *,
    sandbox: Callable[[], AbstractContextManager[Sandbox]],
    progress: Progress,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[TaskResult, list[Sample]]:
    """Generate and score a task; the sandbox is opened only when the text is there."""
    start = clock()
    samples = generate_samples(task, decoder, tokenizer, eos_ids, settings, progress)
    generated = clock()
    with sandbox() as box:
        executions = execute_samples(samples, box, progress)
        mode = box.mode
    executed = clock()
    result = TaskResult(
        task=task.name,
        protocol=task.protocol.label,
        data_sha256=task.data_sha256,
        comparable=task.comparable,
        problems=len(task.problems),
        completions=tuple(completion(s, e) for s, e in zip(samples, executions, strict=True)),
        sandbox=mode,
        generate_s=generated - start,
        execute_s=executed - generated,
        generated_tokens=sum(sample.tokens for sample in samples),
        batch_size=settings.batch_size,
        temperature=settings.temperature,
        note=task.note,
    )
    return result, samples


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
