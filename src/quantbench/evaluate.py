"""A task on a decoder: generate -> extract -> execute -> score. Knows no statistics and no files.

Programs are executed after all text is generated, so that a busy device never makes a correct program
time out. Every method gets the same requests in the same order at the same batch size.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from quantbench.answers import StopStrings, answer_text
from quantbench.decoding import Decoder, FinishReason, Generation, Request
from quantbench.extraction import Extracted, build_program
from quantbench.records import Completion, Outcome, TaskResult
from quantbench.sandbox.pool import Sandbox
from quantbench.sandbox.program import Execution, Program
from quantbench.tasks.problem import Problem, Task

if TYPE_CHECKING:
    from tokenizers import Tokenizer


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
    refused: str | None = None  # why the model could not be given the prompt; it then has no program

    @property
    def program(self) -> Program:
        """The completion behind the problem's own prompt, as the official evaluator joins them."""
        return build_program(self.problem, Extracted(text=self.text))


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One answer to be asked for."""

    problem: Problem
    index: int  # of the answers to this problem
    number: int  # of the problem
    prompt_ids: tuple[int, ...]
    refused: str | None  # why the model cannot be given the prompt


def read_questions(
    task: Task, decoder: Decoder, tokenizer: "Tokenizer", settings: EvaluationSettings
) -> list[Question]:
    """One question per problem and sample, problem by problem; prompts keep the tokenizer's own BOS rule."""
    questions = []
    for number, problem in enumerate(task.problems):
        prompt_ids = tuple(tokenizer.encode(task.protocol.prompt(problem)).ids)
        refused = why_refused(prompt_ids, decoder)
        questions += [
            Question(problem=problem, index=index, number=number, prompt_ids=prompt_ids, refused=refused)
            for index in range(settings.completions_per_problem)
        ]
    return questions


def why_refused(prompt_ids: Sequence[int], decoder: Decoder) -> str | None:
    """Why a model cannot continue this prompt, as a phrase; None when it can."""
    if not prompt_ids:
        return "its prompt has no token"
    if len(prompt_ids) >= decoder.max_positions:
        return f"its prompt has {len(prompt_ids)} tokens, but the model has {decoder.max_positions} positions"
    if (highest := max(prompt_ids)) >= decoder.vocab_size:
        return f"its prompt holds the token {highest}, but the model has {decoder.vocab_size} tokens"
    return None


def build_requests(
    questions: Sequence[Question],
    task: Task,
    decoder: Decoder,
    tokenizer: "Tokenizer",
    eos_ids: frozenset[int],
    settings: EvaluationSettings,
) -> list[Request]:
    """One request per question."""
    limit = settings.max_new_tokens or task.protocol.max_new_tokens
    return [
        Request(
            prompt_ids=question.prompt_ids,
            max_new_tokens=min(limit, decoder.max_positions - len(question.prompt_ids)),
            eos_ids=eos_ids,
            should_stop=StopStrings(tokenizer, task.protocol.stops, question.prompt_ids),
            temperature=settings.temperature,
            top_p=settings.top_p,
            seed=settings.seed * 1_000_003 + question.number * 1_009 + question.index,
        )
        for question in questions
    ]


def generate_samples(
    task: Task,
    decoder: Decoder,
    tokenizer: "Tokenizer",
    eos_ids: frozenset[int],
    settings: EvaluationSettings,
    progress: Progress,
) -> list[Sample]:
    """All completions of a task, in the problems' order; empty ones where the model cannot be asked."""
    questions = read_questions(task, decoder, tokenizer, settings)
    asked = [question for question in questions if question.refused is None]
    requests = build_requests(asked, task, decoder, tokenizer, eos_ids, settings)
    finished = 0

    def on_finish(index: int, generation: Generation) -> None:
        nonlocal finished
        finished += 1
        progress(f"{task.name}: generating", finished, len(requests))

    generations = decoder.generate(requests, batch_size=settings.batch_size, on_finish=on_finish)
    answers = iter(generations)
    return [
        unanswered(question) if question.refused else extract(task, question, next(answers), tokenizer)
        for question in questions
    ]


def unanswered(question: Question) -> Sample:
    """The sample of a question that the model was not asked."""
    return Sample(
        problem=question.problem,
        index=question.index,
        text="",
        finish_reason=FinishReason.UNANSWERED,
        tokens=0,
        refused=question.refused,
    )


def extract(task: Task, question: Question, generation: Generation, tokenizer: "Tokenizer") -> Sample:
    """The generated text up to its earliest stop; what a decoder wrote past it is dropped."""
    text = answer_text(tokenizer, question.prompt_ids, generation.token_ids)
    cut = task.protocol.truncate(text)
    reason = FinishReason.STOP if len(cut) < len(text) else generation.finish_reason
    return Sample(
        problem=question.problem,
        index=question.index,
        text=cut,
        finish_reason=reason,
        tokens=len(generation.token_ids),
    )


def execute_samples(samples: Sequence[Sample], sandbox: Sandbox, progress: Progress) -> list[Execution]:
    """Run every sample's program; results in the samples' order. One without an answer fails unrun."""
    answered = [sample for sample in samples if sample.refused is None]
    finished = 0

    def on_done(index: int, execution: Execution) -> None:
        nonlocal finished
        finished += 1
        progress("executing programs", finished, len(answered))

    executions = iter(sandbox.run([sample.program for sample in answered], on_done=on_done))
    return [
        Execution(outcome=Outcome.FAILED, detail=sample.refused, seconds=0.0)
        if sample.refused
        else next(executions)
        for sample in samples
    ]


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
