"""Prompts are those of the harnesses whose names the protocols bear, byte for byte."""

import pytest

from quantbench.evaluation.prompts import Chat, ready
from quantbench.sources.chat_template import ChatTemplate
from quantbench.tasks import Problem, PromptProtocol
from quantbench.tasks.protocols import (
    ANSWERED,
    ASKED,
    BIGCODE,
    ENDS,
    EVALPLUS,
    EVALPLUS_CHAT,
    LM_EVAL,
    LM_EVAL_CHAT,
    MBPP_PROTOCOLS,
    OF_FUNCTIONS,
    OF_MBPP,
    PLAIN_CHAT,
)
from tests.chat_templates import CHATML

PROBLEM = Problem(
    task_id="Own/0",
    prompt='\n\nimport math\n\ndef f(x):\n    """ Double it.\n    >>> f(2)\n    4\n    """\n',
    canonical_solution="    return 2 * x\n",
    test="",
    entry_point="f",
)
HEAD = "<|im_start|>system\nBe of help.<|im_end|>\n<|im_start|>user\n"
TURN = "<|im_end|>\n<|im_start|>assistant\n"
CHAT = Chat(template=ChatTemplate(text=CHATML, origin="a test"), is_instruct=True, reason="a test")


def prompt(protocol: PromptProtocol) -> str:
    return ready(protocol, CHAT).prompt(PROBLEM)


def test_evalplus_asks_a_base_model_with_the_stripped_prompt_and_a_newline() -> None:
    assert prompt(EVALPLUS) == PROBLEM.prompt.strip() + "\n"


def test_lm_eval_asks_with_the_prompt_as_it_stands() -> None:
    assert prompt(LM_EVAL) == PROBLEM.prompt


def test_bigcode_asks_with_the_stripped_prompt() -> None:
    assert prompt(BIGCODE) == PROBLEM.prompt.strip()


def test_evalplus_asks_an_instruct_model_with_its_instruction_and_begins_the_answer() -> None:
    assert prompt(EVALPLUS_CHAT) == (
        f"{HEAD}Please provide a self-contained Python script that solves the following problem in a "
        f"markdown code block:\n```\n{PROBLEM.prompt.strip()}\n```\n{TURN}"
        "Below is a Python script with a self-contained function that solves the problem and passes "
        "corresponding tests:\n```python\n"
    )


def test_lm_eval_asks_an_instruct_model_with_the_prompt_in_its_answer() -> None:
    assert prompt(LM_EVAL_CHAT) == (
        f"{HEAD}Write a solution to the following problem and make sure that it passes the tests:\n"
        f"```python\n{PROBLEM.prompt}\n```\n{TURN}Here is the completed function:\n"
        f"```python\n{PROBLEM.prompt}\n"
    )


def test_a_plain_chat_is_the_prompt_as_the_users_message() -> None:
    assert prompt(PLAIN_CHAT) == f"{HEAD}{PROBLEM.prompt}{TURN}"


class Templated:
    """A tokenizer as EvalPlus's prompt builder wants one."""

    chat_template = CHATML

    def apply_chat_template(self, messages: list[dict[str, str]], tokenize: bool) -> str:
        assert CHAT.template is not None
        return CHAT.template.render(messages)


def test_evalplus_itself_builds_the_same_chat_prompt() -> None:
    utility = pytest.importorskip("evalplus.provider.utility")
    asked = PROBLEM.prompt.strip() + "\n"  # what its codegen hands over
    assert utility.make_raw_chat_prompt(asked, ASKED, ANSWERED, Templated()) == prompt(EVALPLUS_CHAT)


@pytest.mark.parametrize(("dataset", "own"), [("humaneval", OF_FUNCTIONS), ("mbpp", OF_MBPP)])
def test_evalplus_itself_stops_at_the_same_texts(dataset: str, own: tuple[str, ...]) -> None:
    utility = pytest.importorskip("evalplus.provider.utility")
    theirs = [*utility.EOS, *utility.extra_eos_for_direct_completion(dataset)]
    special = {"<|endoftext|>", "<|endofmask|>", "</s>"}  # tokens, which end an answer as such
    assert {*theirs} - special <= {*ENDS, *own}
    assert {*ENDS, *own} <= {*theirs}


def test_a_right_answer_to_each_protocol_makes_the_whole_prompts_program() -> None:
    for protocol in (EVALPLUS, EVALPLUS_CHAT, LM_EVAL, LM_EVAL_CHAT, BIGCODE, PLAIN_CHAT, *MBPP_PROTOCOLS):
        assert PROBLEM.canonical_solution in protocol.solution(PROBLEM)
