"""The protocols by name, and the program that an extracted text makes with its problem."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from quantbench.errors import UsageError, unknown
from quantbench.evaluation.extraction.fences import LEADING, NOT_PYTHON, Block, find_blocks
from quantbench.evaluation.extraction.python_lines import (
    code_lines,
    defines,
    definition_of,
    indented,
    is_body,
    is_finished,
)
from quantbench.sandbox.program import Program
from quantbench.tasks import Problem, Task

AS_IS = "as-is"
CODE_FENCE = "code-fence-v1"

PYTHON = ("python", "py", "python3", "py3")
MAY_HOLD_BLOCKS = ("", "markdown", "md", "text", "txt")
NO_BLOCK = 6  # the rank from which on a block is no answer
THOUGHT = re.compile(r"^[ \t]*<(think|thinking|thought|reasoning)>", re.MULTILINE | re.IGNORECASE)
END_OF_THOUGHT = re.compile(r"</(think|thinking|thought|reasoning)>[ \t\r]*$", re.MULTILINE | re.IGNORECASE)
FUTURE = re.compile(r"^from __future__ import [^(\n]*\n", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Extracted:
    """A `standalone` text is the whole program, otherwise it continues the prompt."""

    text: str
    standalone: bool = False


Protocol = Callable[[Extracted, Problem], Extracted]


def protocols(task: Task) -> dict[str, Protocol]:
    """The protocols that this task's answers can be extracted by: name -> function."""

    def cut(given: Extracted, problem: Problem) -> Extracted:
        return given if given.standalone else truncated(task, given.text)

    return {AS_IS: as_is, task.protocol.label: cut, CODE_FENCE: from_code_fence}


def choose_protocol(task: Task, name: str) -> Protocol:
    """UsageError for a name that is not among this task's protocols."""
    known = protocols(task)
    if name not in known:
        raise UsageError(unknown("protocol", name, known))
    return known[name]


def truncated(task: Task, text: str) -> Extracted:
    """The text up to the task's earliest stop."""
    return Extracted(text=task.protocol.truncate(text))


def as_is(given: Extracted, problem: Problem) -> Extracted:
    """What was given, nothing cut."""
    return given


def from_code_fence(given: Extracted, problem: Problem) -> Extracted:
    """The program in a chat answer, see `choose_block`; text without fences is the program itself.

    What was thought aloud is left out. Code that defines the function goes behind the prompt's imports and
    helpers; a function's body continues the prompt.
    """
    text = without_thoughts(given.text.replace("\r\n", "\n"))
    block = choose_block(text, problem.entry_point)
    text = block.text if block else text
    code = code_lines(text.split("\n"))
    if given.standalone:
        return Extracted(text=text, standalone=True)
    if defines(code, problem.entry_point):
        return Extracted(text=behind_helpers(text, problem), standalone=True)
    if block and block.language != LEADING and is_body(code) and starts_at_margin(code):
        text = "\n".join(indented(text.split("\n"), margin_of(problem.prompt)))
    return Extracted(text=text)


def starts_at_margin(code: Sequence[str]) -> bool:
    """Whether the first line that is not blank has no indentation."""
    return not next(line for line in code if line.strip())[0].isspace()


def without_thoughts(text: str) -> str:
    """The text without <think> blocks, be it that the opening tag was part of the prompt.

    An answer that starts to think and never ends is none.
    """
    kept: list[str] = []
    position = 0
    while opening := THOUGHT.search(text, position):
        end = text.find(f"</{opening[1]}>", opening.end())
        if end < 0:
            if not text[: opening.start()].strip():
                return ""
            break
        kept.append(text[position : opening.start()])
        position = end + len(opening[1]) + len("</>")
    text = "".join(kept) + text[position:]
    ends = [found.end() for found in END_OF_THOUGHT.finditer(text)]
    return text[ends[-1] :] if ends else text


def choose_block(text: str, name: str) -> Block | None:
    """The first block of the best kind: the function with a return, the function, a body, Python, any.

    Code that the answer starts with is taken where nothing else can be.
    """
    blocks: list[Block] = []
    for block in find_blocks(text):
        blocks += find_blocks(block.text) if block.language in MAY_HOLD_BLOCKS else []
        blocks.append(block)
    ranked = [(rank(block, name), block) for block in blocks]
    best = min(ranked, key=lambda pair: pair[0], default=(NO_BLOCK, None))
    if best[0] > 1 and defines(code_lines(text.split("\n")), name):
        return None  # the text itself is the program, and what looks like fences stands in its strings
    return best[1] if best[0] < NO_BLOCK else None


def rank(block: Block, name: str) -> int:
    """0 is best; from NO_BLOCK on it is no answer."""
    code = code_lines(block.text.split("\n"))
    if defines(code, name):
        return 0 if is_finished(code, name) else 1
    if block.language in NOT_PYTHON or not any(line.strip() for line in code):
        return NO_BLOCK
    if is_body(code):
        return 2
    return 5 if block.language == LEADING else 3 if block.language in PYTHON else 4


def behind_helpers(text: str, problem: Problem) -> str:
    """Code behind what the prompt says before the function; imports from __future__ come first."""
    lines = problem.prompt.split("\n")
    pattern = definition_of(problem.entry_point)
    end = next((number for number, line in enumerate(lines) if pattern.match(line)), 0)
    while end and lines[end - 1].startswith("@"):
        end -= 1
    head = "".join(f"{line}\n" for line in lines[:end])
    return "".join(FUTURE.findall(text)) + head + FUTURE.sub("", text)


def margin_of(prompt: str) -> str:
    """The indentation of a prompt's last line, which a body goes on with."""
    last = prompt.rstrip().rpartition("\n")[2]
    return last[: len(last) - len(last.lstrip())] or "    "


def build_program(problem: Problem, extracted: Extracted) -> Program:
    """An answer with its problem's prompt and test."""
    return Program(
        task_id=problem.task_id,
        prompt=problem.prompt,
        completion=extracted.text,
        test=problem.test,
        entry_point=problem.entry_point,
        standalone=extracted.standalone,
    )
