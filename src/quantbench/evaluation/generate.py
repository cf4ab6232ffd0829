"""A task's problems as requests, and a decoder's answers as text cut at its stops. Executes nothing.

Every method gets the same requests in the same order at the same batch size.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from quantbench.decoding import Decoder, FinishReason, Generation, Request
from quantbench.evaluation.answers import StopStrings, answer_text
from quantbench.evaluation.extraction import Extracted
from quantbench.evaluation.grading import Answer
from quantbench.progress import Progress
from quantbench.settings import GenerationSettings
from quantbench.tasks.problem import Problem, Task

if TYPE_CHECKING:
    from tokenizers import Tokenizer


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
    def answer(self) -> Answer:
        """The completion behind the problem's own prompt, as the official evaluator joins them."""
        return Answer(problem=self.problem, extracted=Extracted(text=self.text), refused=self.refused)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One answer to be asked for."""

    problem: Problem
    index: int  # of the answers to this problem
    number: int  # of the problem
    prompt_ids: tuple[int, ...]
    refused: str | None  # why the model cannot be given the prompt


def read_questions(
    task: Task, decoder: Decoder, tokenizer: "Tokenizer", settings: GenerationSettings
) -> list[Question]:
    """One question per problem and sample, problem by problem; prompts keep the tokenizer's own BOS rule."""
    questions = []
    for number, problem in enumerate(task.problems):
        prompt_ids = tuple(tokenizer.encode(task.protocol.prompt(problem)).ids)
        refused = refusal_reason(prompt_ids, decoder)
        questions += [
            Question(problem=problem, index=index, number=number, prompt_ids=prompt_ids, refused=refused)
            for index in range(settings.completions_per_problem)
        ]
    return questions


def refusal_reason(prompt_ids: Sequence[int], decoder: Decoder) -> str | None:
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
    settings: GenerationSettings,
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
    settings: GenerationSettings,
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
