"""A task's problems as requests, and a decoder's answers as text cut at its stops. Executes nothing.

Every method gets the same requests in the same order at the same batch size. Protocols that differ in where
they cut alone share one answer, which goes on until each of them has had its stop.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from quantbench.decoding import Decoder, FinishReason, Generation, Request
from quantbench.evaluation.answers import StopStrings, answer_text
from quantbench.evaluation.extraction import Extracted, extractor_of
from quantbench.evaluation.grading import Answer
from quantbench.evaluation.shrinking import answer_all
from quantbench.progress import Progress
from quantbench.settings import GenerationSettings
from quantbench.tasks.problem import Problem, Task

if TYPE_CHECKING:
    from tokenizers import Tokenizer


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One answer as text, cut at its earliest stop, and the program taken from it."""

    problem: Problem
    index: int
    text: str
    extracted: Extracted
    finish_reason: FinishReason
    tokens: int
    prompt_ids: tuple[int, ...] = ()
    token_ids: tuple[int, ...] = ()  # of the answer, which may go on behind its text's end
    refused: str | None = None  # why the model could not be given the prompt; it then has no program

    @property
    def answer(self) -> Answer:
        """What is graded."""
        return Answer(problem=self.problem, extracted=self.extracted, refused=self.refused)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One answer to be asked for."""

    problem: Problem
    index: int  # of the answers to this problem
    number: int  # of the problem
    prompt_ids: tuple[int, ...]
    ends: frozenset[int]  # tokens that end the answer
    limit: int  # most new tokens
    refused: str | None  # why the model cannot be given the prompt

    @property
    def key(self) -> tuple[object, ...]:
        """What two protocols must have in common to share an answer."""
        return self.number, self.index, self.prompt_ids, self.ends


class Generator:
    """Asks one model; an answer that a protocol before had is taken again where it tells all."""

    def __init__(
        self,
        decoder: Decoder,
        tokenizer: "Tokenizer",
        eos_ids: frozenset[int],
        settings: GenerationSettings,
        tasks: Sequence[Task],
    ) -> None:
        """`tasks` are the same problems under each protocol that will be asked by."""
        self.decoder, self._tokenizer, self._eos_ids = decoder, tokenizer, eos_ids
        self.settings = settings
        self.batch_size = settings.batch_size  # smaller once memory has run out
        self._stops: dict[tuple[object, ...], set[tuple[str, ...]]] = defaultdict(set)
        self._limits: dict[tuple[object, ...], int] = {}
        self._answers: dict[tuple[object, ...], Generation] = {}
        for task in tasks:
            for question in self.questions(task):
                self._stops[question.key].add(task.protocol.stops)
                self._limits[question.key] = max(question.limit, self._limits.get(question.key, 0))

    def questions(self, task: Task) -> list[Question]:
        """One question per problem and sample, problem by problem."""
        limit = self.settings.max_new_tokens or task.protocol.max_new_tokens
        ends = ends_of(task, self._tokenizer, self._eos_ids)
        found = []
        for number, problem in enumerate(task.problems):
            prompt_ids = encode_prompt(task, problem, self._tokenizer)
            refused = refusal_reason(prompt_ids, self.decoder)
            found += [
                Question(
                    problem=problem,
                    index=index,
                    number=number,
                    prompt_ids=prompt_ids,
                    ends=ends,
                    limit=min(limit, self.decoder.max_positions - len(prompt_ids)),
                    refused=refused,
                )
                for index in range(self.settings.completions_per_problem)
            ]
        return found

    def request(self, question: Question) -> Request:
        """The request that answers a question, for every protocol that shares it."""
        settings = self.settings
        checks = [
            StopStrings(self._tokenizer, stops, question.prompt_ids)
            for stops in sorted(self._stops[question.key])
        ]
        return Request(
            prompt_ids=question.prompt_ids,
            max_new_tokens=self._limits[question.key],
            eos_ids=question.ends,
            should_stop=checks[0] if len(checks) == 1 else EveryStop(checks),
            temperature=settings.temperature,
            top_p=settings.top_p,
            seed=settings.seed * 1_000_003 + question.number * 1_009 + question.index,
        )

    def samples(self, task: Task, progress: Progress) -> list[Sample]:
        """All answers to a task, in the problems' order; empty ones where the model cannot be asked."""
        questions = self.questions(task)
        new = [q for q in questions if q.refused is None and q.key not in self._answers]
        finished = 0

        def on_finish(index: int, generation: Generation) -> None:
            nonlocal finished
            finished += 1
            progress(f"{task.name}: generating", finished, len(new))

        if new:
            answers, self.batch_size = answer_all(
                self.decoder, lambda place: self.request(new[place]), len(new), self.batch_size, on_finish
            )
            self._answers |= {question.key: answer for question, answer in zip(new, answers, strict=True)}
        return [
            unanswered(question)
            if question.refused
            else extract(task, question, self._answers[question.key], self._tokenizer)
            for question in questions
        ]


class EveryStop:
    """A StopCheck that ends a row when every protocol that shares it has had its stop."""

    def __init__(self, checks: Iterable[StopStrings]) -> None:
        self._checks = list(checks)
        self._waiting = list(self._checks)
        self._seen = 0

    def __call__(self, token_ids: Sequence[int], new: int) -> bool:
        if len(token_ids) - new != self._seen:  # the same request is generated again
            self._waiting = list(self._checks)
        self._seen = len(token_ids)
        self._waiting = [check for check in self._waiting if not check(token_ids, new)]
        return not self._waiting


def ends_of(task: Task, tokenizer: "Tokenizer", eos_ids: frozenset[int]) -> frozenset[int]:
    """The tokens that end an answer: the model's own, and a chat's end of a turn."""
    token = task.protocol.end_token
    end = None if token is None else tokenizer.token_to_id(token)
    return eos_ids if end is None else eos_ids | {end}


def encode_prompt(task: Task, problem: Problem, tokenizer: "Tokenizer") -> tuple[int, ...]:
    """The prompt's tokens; a chat's template has written its special tokens by itself."""
    text = task.protocol.prompt(problem)
    if task.protocol.is_chat:
        return tuple(tokenizer.encode(text, add_special_tokens=False).ids)
    return tuple(tokenizer.encode(text).ids)


def refusal_reason(prompt_ids: Sequence[int], decoder: Decoder) -> str | None:
    """Why a model cannot continue this prompt, as a phrase; None when it can."""
    if not prompt_ids:
        return "its prompt has no token"
    if len(prompt_ids) >= decoder.max_positions:
        return f"its prompt has {len(prompt_ids)} tokens, but the model has {decoder.max_positions} positions"
    if (highest := max(prompt_ids)) >= decoder.vocab_size:
        return f"its prompt holds the token {highest}, but the model has {decoder.vocab_size} tokens"
    return None


def unanswered(question: Question) -> Sample:
    """The sample of a question that the model was not asked."""
    return Sample(
        problem=question.problem,
        index=question.index,
        text="",
        extracted=Extracted(text="", found=False),
        finish_reason=FinishReason.UNANSWERED,
        tokens=0,
        refused=question.refused,
    )


def extract(task: Task, question: Question, generation: Generation, tokenizer: "Tokenizer") -> Sample:
    """The generated text up to its earliest stop or the limit; what a decoder wrote past it is dropped."""
    ids = generation.token_ids[: question.limit]
    text = answer_text(tokenizer, question.prompt_ids, ids)
    cut = task.protocol.truncate(text)
    reason = FinishReason.LENGTH if len(ids) < len(generation.token_ids) else generation.finish_reason
    if len(cut) < len(text):
        reason = FinishReason.STOP
    return Sample(
        problem=question.problem,
        index=question.index,
        text=cut,
        extracted=extractor_of(task.protocol)(Extracted(text=cut), question.problem),
        finish_reason=reason,
        tokens=len(ids),
        prompt_ids=question.prompt_ids,
        token_ids=tuple(ids),
    )
