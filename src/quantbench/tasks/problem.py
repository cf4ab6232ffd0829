"""A benchmark as data: problems, and the protocols by which a model may be asked."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One item in HumanEval's format; HumanEval+ has inputs besides or in place of a test."""

    task_id: str
    prompt: str
    canonical_solution: str
    test: str  # defines check(candidate); empty where there are inputs alone
    entry_point: str
    inputs: Mapping[str, Any] | None = None  # base_input, plus_input and atol as its function takes them
    dataset: str = ""  # whose own rules of comparison hold, see sandbox/inside/closeness.py


class Extraction(StrEnum):
    """How the text of an answer becomes a program; see evaluation/extraction."""

    CUT = "cut"  # up to the earliest stop, behind the problem's own prompt
    CUT_STRIPPED = "cut-stripped"  # the same behind the prompt without outer white space
    ONLY_CODE = "only-code"  # the code of a chat answer is the whole program, as EvalPlus has it
    LAST_NUMBER = "last-number"  # the last number of the text; there is no program
    CODE_FENCE = "code-fence-v1"  # the code of a chat answer, behind the prompt's imports and helpers


class Grading(StrEnum):
    """How answers get their verdicts; see evaluation/grading.py."""

    PROGRAMS = "programs"  # by tests that call a program
    PLUS = "plus"  # by a reference's answers to base and plus inputs
    NUMBER = "number"  # by being the problem's number, which stands in `test`


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """What a chat model is told, and how its answer begins and would go on in the model's own template."""

    user: str
    begins: str = ""
    goes_on: str = ""  # behind the answer; some templates treat the end of a message in their own way


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptProtocol:
    """How a problem becomes a prompt and an answer a program; any change is a new version.

    A protocol of a chat needs the model's template, see `evaluation/prompts.py`, which gives it `prompt`.
    """

    name: str
    version: int
    stops: tuple[str, ...]  # end an answer, and are cut off
    max_new_tokens: int
    prompt: Callable[[Problem], str]
    conversation: Callable[[Problem], Conversation] | None = None
    extraction: Extraction = Extraction.CUT
    solution: Callable[[Problem], str] = lambda problem: problem.canonical_solution  # a right answer
    end_token: str | None = None  # ends a turn of the model's chat, besides its own end of text

    @property
    def label(self) -> str:
        return f"{self.name}-v{self.version}"

    @property
    def is_chat(self) -> bool:
        """Whether the model's chat template makes the prompt, special tokens included."""
        return self.conversation is not None

    def truncate(self, text: str) -> str:
        """The text up to its earliest stop."""
        cuts = [cut for stop in self.stops if (cut := text.find(stop)) >= 0]
        return text[: min(cuts)] if cuts else text


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Problems, and the protocol that is used; `protocols` are those that may be."""

    name: str
    problems: tuple[Problem, ...]
    protocol: PromptProtocol
    data_sha256: str
    comparable: bool  # with published figures: the data are the published ones
    note: str | None = None
    grading: Grading = Grading.PROGRAMS
    many_inputs: bool = False  # its tests call a program hundreds of times
    protocols: tuple[PromptProtocol, ...] = ()  # the first of its kind is taken for a model of its kind

    def under(self, protocol: PromptProtocol) -> "Task":
        """The same problems, asked by another protocol."""
        return replace(self, protocol=protocol)
