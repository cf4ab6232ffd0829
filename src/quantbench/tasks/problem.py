"""A benchmark as data: problems, and the named, versioned protocol that turns them into text and back."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One item in HumanEval's format; HumanEval+ has inputs besides or in place of a test."""

    task_id: str
    prompt: str
    canonical_solution: str
    test: str  # defines check(candidate); empty where there are inputs alone
    entry_point: str
    inputs: Mapping[str, Any] | None = None  # base_input, plus_input and atol as the file has them


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptProtocol:
    """How a problem becomes a prompt and an answer a completion; any change is a new version."""

    name: str
    version: int
    stops: tuple[str, ...]
    max_new_tokens: int
    prompt: Callable[[Problem], str]

    @property
    def label(self) -> str:
        return f"{self.name}-v{self.version}"

    def truncate(self, text: str) -> str:
        """The text up to its earliest stop."""
        cuts = [cut for stop in self.stops if (cut := text.find(stop)) >= 0]
        return text[: min(cuts)] if cuts else text


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    name: str
    problems: tuple[Problem, ...]
    protocol: PromptProtocol
    data_sha256: str
    comparable: bool  # with published figures: the data are the published ones
    note: str | None = None
