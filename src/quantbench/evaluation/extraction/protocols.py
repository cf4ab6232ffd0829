"""How programs are taken from answers, by the names of protocols, and the program that a text then makes."""

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
from quantbench.tasks import Problem, PromptProtocol, Task
from quantbench.tasks.gsm8k import last_number
from quantbench.tasks.problem import Extraction

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
    """A `standalone` text is the whole program, otherwise it continues the prompt; `found`: it holds code."""

    text: str
    standalone: bool = False
    found: bool = True


Extractor = Callable[[Extracted, Problem], Extracted]


def extractors(task: Task) -> dict[str, Extractor]:
    """The ways by which this task's answers can be made programs: name -> function."""
    known = (task.protocol, *task.protocols)
    return (
        {AS_IS: as_is}
        | {protocol.label: extractor_of(protocol) for protocol in known}
        | {CODE_FENCE: from_code_fence}
    )


def choose_extractor(task: Task, name: str) -> Extractor:
    """The way of this name, with or without its version; UsageError for one that this task does not have."""
    known = extractors(task)
    versions = {protocol.name: protocol.label for protocol in reversed((task.protocol, *task.protocols))}
    name = versions.get(name, name)
    if name not in known:
        raise UsageError(unknown("protocol", name, known))
    return known[name]


def extractor_of(protocol: PromptProtocol) -> Extractor:
    """How this protocol's answers become programs."""
    return lambda given, problem: EXTRACTORS[protocol.extraction](protocol, given, problem)


def cut(protocol: PromptProtocol, given: Extracted, problem: Problem) -> Extracted:
    """The text up to the earliest stop, behind the problem's prompt."""
    if given.standalone:
        return given
    text = protocol.truncate(given.text)
    return Extracted(text=text, found=bool(text.strip()))


def cut_stripped(protocol: PromptProtocol, given: Extracted, problem: Problem) -> Extracted:
    """The text up to the earliest stop, behind the prompt without outer white space."""
    if given.standalone:
        return given
    text = protocol.truncate(given.text)
    return Extracted(text=problem.prompt.strip() + text, standalone=True, found=bool(text.strip()))


def only_code(protocol: PromptProtocol, given: Extracted, problem: Problem) -> Extracted:
    """The code of a chat answer, which must be a whole program: nothing of the prompt is added."""
    if given.standalone:
        return given
    text, block = code_of(protocol.truncate(given.text), problem)
    found = block is not None or defines(code_lines(text.split("\n")), problem.entry_point)
    return Extracted(text=text, standalone=True, found=found)


def as_is(given: Extracted, problem: Problem) -> Extracted:
    """What was given, nothing cut."""
    return given


def code_of(answer: str, problem: Problem) -> tuple[str, Block | None]:
    """The code in a chat answer and its block, see `choose_block`; without blocks the answer itself.

    What was thought aloud is left out.
    """
    text = without_thoughts(answer.replace("\r\n", "\n"))
    block = choose_block(text, problem.entry_point)
    return (block.text if block else text), block


def from_code_fence(given: Extracted, problem: Problem) -> Extracted:
    """The program in a chat answer, see `code_of`.

    Code that defines the function goes behind the prompt's imports and
    helpers; a function's body continues the prompt. Text without fences is the program itself.
    """
    text, block = code_of(given.text, problem)
    code = code_lines(text.split("\n"))
    if given.standalone:
        return Extracted(text=text, standalone=True)
    if defines(code, problem.entry_point):
        return Extracted(text=behind_helpers(text, problem), standalone=True)
    if block and block.language != LEADING and is_body(code) and starts_at_margin(code):
        text = "\n".join(indented(text.split("\n"), margin_of(problem.prompt)))
    return Extracted(text=text, found=block is not None or is_body(code))


def fenced(protocol: PromptProtocol, given: Extracted, problem: Problem) -> Extracted:
    """`from_code_fence` of the text up to the earliest stop."""
    kept = given if given.standalone else Extracted(text=protocol.truncate(given.text))
    return from_code_fence(kept, problem)


def number(protocol: PromptProtocol, given: Extracted, problem: Problem) -> Extracted:
    """The last number of the text up to its earliest stop."""
    found = last_number(protocol.truncate(given.text))
    return Extracted(text=found or "", standalone=True, found=found is not None)


EXTRACTORS: dict[Extraction, Callable[[PromptProtocol, Extracted, Problem], Extracted]] = {
    Extraction.CUT: cut,
    Extraction.CUT_STRIPPED: cut_stripped,
    Extraction.ONLY_CODE: only_code,
    Extraction.CODE_FENCE: fenced,
    Extraction.LAST_NUMBER: number,
}


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
