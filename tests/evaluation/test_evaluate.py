"""Generate, extract, execute and score, with a decoder and a sandbox that do as they are told."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from typing import Any, cast

import pytest
from tokenizers import Tokenizer

from quantbench.decoding import Decoder, FinishReason, Generation, Request
from quantbench.evaluation.evaluate import evaluate, limit_task, refusals
from quantbench.evaluation.generate import Generator, Question, extract
from quantbench.evaluation.grading import grade
from quantbench.records import Outcome
from quantbench.sandbox.pool import Sandbox, open_sandbox
from quantbench.sandbox.program import Execution, Program
from quantbench.settings import GenerationSettings
from quantbench.tasks.humaneval import load_humaneval
from quantbench.tasks.problem import Problem, PromptProtocol, Task
from tests.tasks.published import humaneval_file

PROBLEMS = tuple(
    Problem(
        task_id=f"T/{number}",
        prompt=f"def f{number}():\n",
        canonical_solution="    return 1\n",
        test="def check(candidate):\n    assert candidate() == 1\n",
        entry_point=f"f{number}",
    )
    for number in range(3)
)
PROTOCOL = PromptProtocol(
    name="test", version=2, stops=("\ndef ",), max_new_tokens=20, prompt=lambda problem: problem.prompt
)
TASK = Task(name="toy", problems=PROBLEMS, protocol=PROTOCOL, data_sha256="0", comparable=True)


class Characters:
    """A tokenizer whose tokens are code points."""

    def encode(self, text: str) -> Any:
        return type("Encoding", (), {"ids": [ord(c) for c in text]})

    def decode(self, ids: list[int]) -> str:
        return "".join(map(chr, ids))


class Scripted:
    """A decoder that answers every request with the same text."""

    engine, vocab_size, max_positions, device = "scripted", 256, 64, "cpu"

    def __init__(self, text: str) -> None:
        self.text = text
        self.requests: list[Request] = []

    def generate(
        self,
        requests: Sequence[Request],
        *,
        batch_size: int,
        on_first_token: Callable[[], None] | None = None,
        on_finish: Callable[[int, Generation], None] | None = None,
    ) -> list[Generation]:
        self.requests = list(requests)
        ids = tuple(ord(c) for c in self.text)
        answers = [Generation(token_ids=ids, finish_reason=FinishReason.EOS) for _ in requests]
        for index, answer in enumerate(answers):
            if on_finish:
                on_finish(index, answer)
        return answers


class Obliging:
    """A sandbox in which everything passes."""

    mode = "none: a test"
    seed = 7

    def run(
        self, programs: Sequence[Program], *, on_done: Callable[[int, Execution], None] | None = None
    ) -> list[Execution]:
        self.programs = list(programs)
        return [Execution(outcome=Outcome.PASSED, detail="", seconds=0.1) for _ in programs]


SETTINGS = GenerationSettings(batch_size=2)
TOKENIZER = cast(Tokenizer, Characters())


def decoder(text: str) -> Decoder:
    return cast(Decoder, Scripted(text))


def quiet(stage: str, done: int, total: int) -> None:
    pass


@contextmanager
def obliging() -> Iterator[Sandbox]:
    yield cast(Sandbox, Obliging())


def requests(settings: GenerationSettings) -> list[Request]:
    made = generator(settings, decoder(""), TASK)
    return [made.request(question) for question in made.questions(TASK)]


def generator(settings: GenerationSettings, model: Decoder, *tasks: Task) -> Generator:
    return Generator(model, TOKENIZER, frozenset({0}), settings, tasks)


def question() -> Question:
    return replace(generator(SETTINGS, decoder(""), TASK).questions(TASK)[0], limit=100)


def test_there_is_a_request_for_every_problem_and_sample() -> None:
    assert len(requests(GenerationSettings(batch_size=2, completions_per_problem=4, temperature=1.0))) == 12


def test_every_sample_has_a_seed_of_its_own() -> None:
    made = requests(GenerationSettings(batch_size=2, completions_per_problem=4, temperature=1.0))
    assert len({request.seed for request in made}) == 12


def test_the_protocols_limit_holds_unless_another_is_given() -> None:
    assert requests(SETTINGS)[0].max_new_tokens == 20
    assert requests(GenerationSettings(batch_size=2, max_new_tokens=5))[0].max_new_tokens == 5


def test_a_row_never_outgrows_the_models_positions() -> None:
    made = requests(GenerationSettings(batch_size=2, max_new_tokens=1000))[0]
    assert len(made.prompt_ids) + made.max_new_tokens == 64


def test_a_stop_split_over_two_calls_is_seen() -> None:
    check = requests(SETTINGS)[0].should_stop
    assert check is not None
    ids = [ord(c) for c in "    return 1\nde"]
    assert not check(ids, new=len(ids))
    assert check([*ids, ord("f"), ord(" ")], new=2)


def test_text_past_the_stop_is_dropped_and_the_reason_is_stop() -> None:
    ids = tuple(ord(c) for c in "    return 1\ndef g():")
    sample = extract(
        TASK, question(), Generation(token_ids=ids, finish_reason=FinishReason.LENGTH), TOKENIZER
    )
    assert (sample.text, sample.finish_reason) == ("    return 1", FinishReason.STOP)


def test_a_program_is_the_published_prompt_and_the_completion() -> None:
    ids = tuple(ord(c) for c in "    return 1\n")
    sample = extract(TASK, question(), Generation(token_ids=ids, finish_reason=FinishReason.EOS), TOKENIZER)
    program = sample.answer.program
    assert program.prompt + program.completion == "def f0():\n    return 1\n"


def test_a_result_keeps_outcomes_protocol_mode_and_times() -> None:
    clock = count().__next__
    result, samples = evaluate(
        TASK,
        decoder("    return 1\n"),
        TOKENIZER,
        frozenset(),
        SETTINGS,
        sandbox=obliging,
        progress=quiet,
        clock=clock,
    )
    assert [c.outcome for c in result.completions] == [Outcome.PASSED] * 3
    assert (result.protocol, result.sandbox) == ("test-v2", "none: a test")
    assert (result.generate_s, result.execute_s) == (1, 1)
    assert result.generated_tokens == 3 * len("    return 1\n")
    assert [sample.problem.task_id for sample in samples] == ["T/0", "T/1", "T/2"]


def test_programs_reach_the_sandbox_in_the_problems_order() -> None:
    _, samples = evaluate(
        TASK,
        decoder("    return 1\n"),
        TOKENIZER,
        frozenset(),
        SETTINGS,
        sandbox=obliging,
        progress=quiet,
    )
    box = Obliging()
    grade([sample.answer for sample in samples], cast(Sandbox, box), quiet)
    assert [program.entry_point for program in box.programs] == ["f0", "f1", "f2"]


@pytest.mark.parametrize(("limit", "kept", "comparable"), [(None, 3, True), (3, 3, True), (2, 2, False)])
def test_a_limited_task_is_not_comparable(limit: int | None, kept: int, comparable: bool) -> None:
    task = limit_task(TASK, limit)
    assert (len(task.problems), task.comparable) == (kept, comparable)


def limited(**limits: int) -> Decoder:
    """A decoder of these limits."""
    made = Scripted("    return 1\n")
    for name, value in limits.items():
        setattr(made, name, value)
    return cast(Decoder, made)


LONGER = replace(PROBLEMS[1], prompt="def f1():\n" + "    # \u00e9\n" * 5)
UNEVEN = replace(TASK, problems=(PROBLEMS[0], LONGER, PROBLEMS[2]))


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({"max_positions": 50}, "its prompt has 50 tokens, but the model has 50 positions"),
        ({"vocab_size": 200}, "its prompt holds the token 233, but the model has 200 tokens"),
    ],
)
def test_a_prompt_that_does_not_fit_costs_its_problem_alone(limits: dict[str, int], reason: str) -> None:
    result, samples = evaluate(
        UNEVEN, limited(**limits), TOKENIZER, frozenset(), SETTINGS, sandbox=obliging, progress=quiet
    )
    assert [str(c.outcome) for c in result.completions] == ["passed", "failed", "passed"]
    assert (result.completions[1].finish_reason, result.completions[1].detail) == ("unanswered", reason)
    assert refusals(UNEVEN, samples) == (
        f"toy: 1 of 3 problems could not be given to the model and count as failed: T/1 ({reason})"
    )


def test_a_prompt_without_a_token_is_refused() -> None:
    task = replace(TASK, problems=(replace(PROBLEMS[0], prompt=""),))
    result, _ = evaluate(
        task, decoder(""), TOKENIZER, frozenset(), SETTINGS, sandbox=obliging, progress=quiet
    )
    assert result.completions[0].detail == "its prompt has no token"


def test_a_task_whose_prompts_all_fit_has_nothing_to_say() -> None:
    _, samples = evaluate(
        TASK, decoder("x"), TOKENIZER, frozenset(), SETTINGS, sandbox=obliging, progress=quiet
    )
    assert refusals(TASK, samples) is None


class Answers(Scripted):
    """A decoder that knows the answer to each problem of a task, in order."""

    max_positions, vocab_size = 10_000, 0x110000

    def __init__(self, texts: Sequence[str]) -> None:
        super().__init__("")
        self.texts = texts

    def generate(
        self,
        requests: Sequence[Request],
        *,
        batch_size: int,
        on_first_token: Callable[[], None] | None = None,
        on_finish: Callable[[int, Generation], None] | None = None,
    ) -> list[Generation]:
        return [
            Generation(token_ids=tuple(map(ord, text)), finish_reason=FinishReason.EOS) for text in self.texts
        ]


@pytest.mark.parametrize(("canonical", "passed"), [(True, 164), (False, 0)])
def test_humaneval_scores_its_own_solutions_and_nothing_else(canonical: bool, passed: int) -> None:
    task = load_humaneval(str(humaneval_file()))
    answers = [problem.canonical_solution if canonical else "" for problem in task.problems]
    result, _ = evaluate(
        task,
        cast(Decoder, Answers(answers)),
        TOKENIZER,
        frozenset(),
        GenerationSettings(batch_size=2, max_new_tokens=9000),
        sandbox=open_sandbox,
        progress=quiet,
    )
    assert sum(c.outcome == Outcome.PASSED for c in result.completions) == passed


def under(name: str, *stops: str, limit: int = 1000, **changes: Any) -> Task:
    """The toy task under another protocol."""
    changed = replace(PROTOCOL, name=name, stops=stops, max_new_tokens=limit, **changes)
    return TASK.under(changed)


TEXT = "    return 1\n#\ndef g():\n    pass\n"


def finished(task: Task, made: Generator) -> tuple[str, str]:
    first = made.samples(task, quiet)[0]
    return first.text, str(first.finish_reason)


def test_protocols_that_cut_elsewhere_alone_share_one_answer() -> None:
    model = Answers([TEXT] * 3)
    early, late = under("early", "\n#"), under("late", "\ndef")
    made = generator(SETTINGS, cast(Decoder, model), early, late)
    assert finished(early, made) == ("    return 1", "stop")
    model.texts = []  # whoever asks again gets nothing
    assert finished(late, made) == ("    return 1\n#", "stop")


def test_a_shared_answer_goes_on_until_each_protocol_has_its_stop() -> None:
    early, late = under("early", "\n#"), under("late", "\ndef")
    made = generator(SETTINGS, cast(Decoder, Answers([])), early, late)
    check = made.request(made.questions(early)[0]).should_stop
    assert check is not None
    ids = [ord(c) for c in TEXT]
    end = TEXT.index("\ndef") + len("\ndef")
    assert not check(ids[: end - 1], new=end - 1)
    assert check(ids[:end], new=1)


def test_a_shared_answer_is_cut_at_each_protocols_own_length() -> None:
    short, whole = under("short", limit=8), under("whole")
    made = generator(SETTINGS, cast(Decoder, Answers([TEXT] * 3)), short, whole)
    assert made.request(made.questions(short)[0]).max_new_tokens == 1000
    assert finished(short, made) == (TEXT[:8], "length")
    assert finished(whole, made) == (TEXT, "eos")


def test_protocols_of_other_prompts_share_nothing() -> None:
    model = Answers([TEXT] * 3)
    one, other = under("one"), under("other", prompt=lambda problem: problem.prompt.strip())
    made = generator(SETTINGS, cast(Decoder, model), one, other)
    made.samples(one, quiet)
    model.texts = ["    pass"] * 3
    assert finished(other, made) == ("    pass", "eos")


def test_an_answer_without_code_is_told_in_its_record() -> None:
    model = cast(Decoder, Answers(["", TEXT, " \n"]))
    result, _ = evaluate(TASK, model, TOKENIZER, frozenset(), SETTINGS, sandbox=obliging, progress=quiet)
    assert [completion.code_found for completion in result.completions] == [False, True, False]
