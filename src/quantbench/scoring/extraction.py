"""From a sample's text to a program, by named protocols."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from quantbench.errors import UsageError, unknown
from quantbench.sandbox.program import Program
from quantbench.scoring.samples import Sample
from quantbench.tasks import Problem, Task

AS_IS = "as-is"
CODE_FENCE = "code-fence-v1"

FENCE = re.compile(r"^[ \t]*```[^\n`]*\n(.*?)(?:^[ \t]*```|\Z)", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Extracted:
    """A `standalone` text is the whole program, otherwise it continues the prompt."""

    text: str
    standalone: bool


Protocol = Callable[[Sample, Problem], Extracted]


def protocols(task: Task) -> dict[str, Protocol]:
    """The protocols that this task's samples can be extracted by: name -> function."""

    def truncated(sample: Sample, problem: Problem) -> Extracted:
        text = sample.text if sample.standalone else task.protocol.truncate(sample.text)
        return Extracted(text=text, standalone=sample.standalone)

    return {AS_IS: as_is, task.protocol.label: truncated, CODE_FENCE: from_code_fence}


def choose_protocol(task: Task, name: str) -> Protocol:
    """UsageError for a name that is not among this task's protocols."""
    known = protocols(task)
    if name not in known:
        raise UsageError(unknown("protocol", name, known))
    return known[name]


def as_is(sample: Sample, problem: Problem) -> Extracted:
    """What the file says, nothing cut."""
    return Extracted(text=sample.text, standalone=sample.standalone)


def from_code_fence(sample: Sample, problem: Problem) -> Extracted:
    """The first fenced block; one that defines the function goes behind the prompt's imports and helpers."""
    found = FENCE.search(sample.text)
    text = found.group(1) if found else sample.text
    definition = re.compile(rf"^(async )?def {re.escape(problem.entry_point)}\b", re.MULTILINE)
    if sample.standalone or not definition.search(text):
        return Extracted(text=text, standalone=sample.standalone)
    before = definition.search(problem.prompt)
    head = problem.prompt[: before.start()] if before else ""
    return Extracted(text=head + text, standalone=True)


def build_program(sample: Sample, problem: Problem, protocol: Protocol) -> Program:
    """A sample behind its problem's prompt, with the problem's test."""
    extracted = protocol(sample, problem)
    return Program(
        task_id=problem.task_id,
        prompt=problem.prompt,
        completion=extracted.text,
        test=problem.test,
        entry_point=problem.entry_point,
        standalone=extracted.standalone,
    )
