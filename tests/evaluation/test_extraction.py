"""From a sample's text to a program."""

import time

import pytest

from quantbench.errors import UsageError
from quantbench.evaluation.extraction import Extracted, build_program, choose_extractor
from quantbench.tasks import Problem, PromptProtocol, Task

PROBLEM = Problem(
    task_id="Own/0",
    prompt="import math\n\ndef helper():\n    return 1\n\ndef f(x):\n    '''doc'''\n",
    canonical_solution="    return x\n",
    test="",
    entry_point="f",
)
HEAD = "import math\n\ndef helper():\n    return 1\n\n"
PROTOCOL = PromptProtocol(
    name="own", version=2, stops=("\ndef ",), max_new_tokens=1, prompt=lambda p: p.prompt
)
TASK = Task(name="own", problems=(PROBLEM,), protocol=PROTOCOL, data_sha256="", comparable=False)


def source(text: str, protocol: str, *, standalone: bool = False) -> str:
    given = Extracted(text=text, standalone=standalone)
    return build_program(PROBLEM, choose_extractor(TASK, protocol)(given, PROBLEM)).text


def test_as_is_cuts_nothing() -> None:
    text = "    return x\n\ndef g(): pass\n"
    assert source(text, "as-is") == PROBLEM.prompt + text


def test_the_tasks_protocol_cuts_at_its_stops() -> None:
    assert source("    return x\n\ndef g(): pass\n", "own-v2") == PROBLEM.prompt + "    return x\n"


def test_a_whole_program_is_not_cut_at_stops() -> None:
    text = "import math\ndef f(x):\n    return x\n"
    assert source(text, "own-v2", standalone=True) == text


def test_a_fenced_function_goes_behind_the_prompts_helpers() -> None:
    text = "Sure:\n```python\ndef f(x):\n    return x\n```\nThat is it.\n```\nmore\n```\n"
    head = PROBLEM.prompt[: PROBLEM.prompt.index("def f(")]
    assert source(text, "code-fence-v1") == head + "def f(x):\n    return x\n"


def test_a_fenced_body_continues_the_prompt() -> None:
    assert source("```\n    return x\n```\n", "code-fence-v1") == PROBLEM.prompt + "    return x\n"


def test_a_fence_that_is_not_closed_reaches_to_the_end() -> None:
    assert source("```py\n    return x", "code-fence-v1") == PROBLEM.prompt + "    return x"


def test_text_without_a_fence_stays() -> None:
    assert source("    return x\n", "code-fence-v1") == PROBLEM.prompt + "    return x\n"


def test_an_unknown_protocol_is_named_with_the_choices() -> None:
    with pytest.raises(UsageError, match=r"choose from: as-is, own-v2, code-fence-v1"):
        choose_extractor(TASK, "own-v1")


GOOD = "def f(x):\n    return x\n"
FENCE = "```"
SHELL = f"{FENCE}bash\npip install x\n{FENCE}\n"
DOCUMENTED = f'def f(x):\n    """\n    {FENCE}\n    f(1)\n    {FENCE}\n    """\n    return x\n'


def fenced(code: str, opening: str = "```python", margin: str = "", closing: str | None = None) -> str:
    """Code in a fence, moved to the right."""
    closing = closing or opening.rstrip("python ")
    lines = [opening, *code.removesuffix("\n").split("\n"), closing]
    return "".join(f"{margin}{line}\n" for line in lines)


@pytest.mark.parametrize(
    "answer",
    [
        SHELL + fenced(GOOD),
        f"{FENCE}\npip install x\n{FENCE}\nThen:\n" + fenced(GOOD),
        fenced("f(1) == 1\n") + "where\n" + fenced(GOOD),
        fenced("def f(x):\n    '''doc'''\n    pass\n") + "filled in:\n" + fenced(GOOD),
        fenced("def g(x):\n    return f(x)\n") + fenced(GOOD),
        "<think>\n" + fenced("def f(x):\n    return 0\n") + "</think>\n" + fenced(GOOD),
        "<think>a</think><think>b</think>\n" + fenced(GOOD),
        "Let me see.\n" + fenced("def f(x):\n    return 0\n") + "No.\n</think>\n\n" + fenced(GOOD),
        "<thinking>\nhm\n</thinking>\nSo\n" + fenced(GOOD),
        fenced(GOOD, "~~~"),
        fenced(GOOD, "~~~python"),
        fenced(GOOD, "````python"),
        fenced(GOOD, "````python", closing="``````"),
        "````markdown\n" + fenced(GOOD) + "````\n",
        f"{FENCE}markdown\n# Answer\n" + fenced(GOOD) + f"{FENCE}\n",
        "1. Install.\n2. Write:\n" + fenced(GOOD, margin="   "),
        "- ```python\n  def f(x):\n      return x\n  ```\n",
        "1) Write\n\n\t```python\n\tdef f(x):\n\t    return x\n\t```\n",
        "> ```python\n> def f(x):\n>     return x\n> ```\n",
        fenced(GOOD, "``` python title='f.py'", closing=FENCE),
        fenced(GOOD, "```{.python}", closing=FENCE),
        fenced(GOOD, "```Python3", closing=FENCE),
        fenced(GOOD).replace("\n", "\r\n"),
        GOOD + f"{FENCE}\nThis returns `x`.\n",
        GOOD,
    ],
)
def test_the_program_of_an_answer_is_found(answer: str) -> None:
    assert source(answer, "code-fence-v1") == HEAD + GOOD


@pytest.mark.parametrize(
    "answer",
    [
        fenced(DOCUMENTED),
        "It's so:\n" + fenced(DOCUMENTED) + "Don't forget.\n",
        fenced(DOCUMENTED, margin="  "),
        DOCUMENTED,
        DOCUMENTED + f"{FENCE}\nDone.\n",
        SHELL + fenced(DOCUMENTED),
    ],
)
def test_a_fence_inside_a_string_is_text_of_the_string(answer: str) -> None:
    assert source(answer, "code-fence-v1") == HEAD + DOCUMENTED


def test_a_program_that_starts_with_a_comment_may_document_itself_with_fences() -> None:
    assert source("# mine\n" + DOCUMENTED, "code-fence-v1") == HEAD + "# mine\n" + DOCUMENTED


def test_a_string_without_an_end_does_not_swallow_the_blocks_behind_it() -> None:
    answer = fenced('def g(x):\n    """never closed\n') + "Better:\n" + fenced(GOOD)
    assert source(answer, "code-fence-v1") == HEAD + GOOD


@pytest.mark.parametrize(
    "answer",
    [
        fenced("    return x\n"),
        fenced("return x\n"),
        SHELL + fenced("    return x\n"),
        fenced("    return x\n", margin="    "),
        f"    return x\n{FENCE}\nAs asked.\n",
    ],
)
def test_the_body_of_an_answer_continues_the_prompt(answer: str) -> None:
    assert source(answer, "code-fence-v1") == PROBLEM.prompt + "    return x\n"


def test_what_was_only_thought_is_no_answer() -> None:
    assert source("<think>\n" + fenced(GOOD), "code-fence-v1") == PROBLEM.prompt


def test_imports_from_the_future_come_first() -> None:
    answer = fenced("from __future__ import annotations\n" + GOOD)
    assert source(answer, "code-fence-v1") == "from __future__ import annotations\n" + HEAD + GOOD


def test_a_fenced_whole_program_stays_whole() -> None:
    assert source(fenced(GOOD), "code-fence-v1", standalone=True) == GOOD


@pytest.mark.parametrize(
    "part",
    [
        "<think>\n",
        "```\n",
        "```python\n'''\n",
        "`",
        '"\\"',
        "'\\'",
        "> - 1. ",
        "~~~x\n",
        "</think>\n",
        "def f(x):\n",
    ],
)
def test_no_answer_takes_long(part: str) -> None:
    answer = part * (100_000 // len(part))
    started = time.process_time()
    source(answer, "code-fence-v1")
    assert time.process_time() - started < 3
