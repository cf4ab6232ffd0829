"""From a sample's text to a program."""

import pytest

from quantbench.errors import UsageError
from quantbench.scoring.extraction import build_program, choose_protocol
from quantbench.scoring.samples import Sample
from quantbench.tasks import Problem, PromptProtocol, Task

PROBLEM = Problem(
    task_id="Own/0",
    prompt="import math\n\ndef helper():\n    return 1\n\ndef f(x):\n    '''doc'''\n",
    canonical_solution="    return x\n",
    test="",
    entry_point="f",
)
PROTOCOL = PromptProtocol(
    name="own", version=2, stops=("\ndef ",), max_new_tokens=1, prompt=lambda p: p.prompt
)
TASK = Task(name="own", problems=(PROBLEM,), protocol=PROTOCOL, data_sha256="", comparable=False)


def source(text: str, protocol: str, *, standalone: bool = False) -> str:
    sample = Sample(line=1, row={}, task_id="Own/0", text=text, standalone=standalone)
    return build_program(sample, PROBLEM, choose_protocol(TASK, protocol)).source


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
        choose_protocol(TASK, "own-v1")
