"""Which protocol a model is asked by, and how that is decided."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import AddedToken, Tokenizer

from quantbench.errors import UsageError
from quantbench.evaluation.generate import encode_prompt
from quantbench.evaluation.prompts import Chat, asked_by, named, read_chat, ready
from quantbench.sources import open_source
from quantbench.sources.chat_template import ChatTemplate
from quantbench.tasks import Problem, Task
from quantbench.tasks.protocols import EVALPLUS, EVALPLUS_CHAT, FUNCTION_PROTOCOLS
from quantbench.tasks.quickeval import load_quickeval
from tests.chat_templates import CHATML, INST
from tests.decoders import byte_level
from tests.model_folders import tiny_config, write_folder

PROBLEM = Problem(
    task_id="T/0", prompt="def f():\n", canonical_solution="    return 1\n", test="", entry_point="f"
)
TASK = Task(
    name="toy",
    problems=(PROBLEM,),
    protocol=EVALPLUS,
    protocols=FUNCTION_PROTOCOLS,
    data_sha256="0",
    comparable=True,
)
BASE = Chat(template=None, is_instruct=False, reason="the model has no chat template")
INSTRUCT = Chat(
    template=ChatTemplate(text=CHATML, origin="a test"), is_instruct=True, reason="", end_token="<|im_end|>"
)


@pytest.fixture
def tokenizer() -> Tokenizer:
    """Byte-level, with the tokens of ChatML and an end of text."""
    made = byte_level()
    made.add_special_tokens(
        [AddedToken(text, special=True) for text in ("<|endoftext|>", "<|im_start|>", "<|im_end|>")]
    )
    return made


@pytest.fixture
def model(tmp_path: Path, tokenizer: Tokenizer) -> Callable[..., Chat]:
    """What is read of a folder with this template and these tokens that end generation."""

    def read(template: str | None, *ends: str, **config: Any) -> Chat:
        write_folder(tmp_path)
        settings = tiny_config(eos_token_id=[tokenizer.token_to_id(end) for end in ends])
        (tmp_path / "config.json").write_text(json.dumps(settings))
        if template is not None:
            (tmp_path / "chat_template.jinja").write_text(template)
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
        return read_chat(open_source(str(tmp_path)), tokenizer)

    return read


def test_a_model_whose_turns_end_its_generation_is_an_instruct_model(model: Callable[..., Chat]) -> None:
    found = model(CHATML, "<|im_end|>", "<|endoftext|>")
    assert found.is_instruct and found.kind == "chat"
    assert "ends a turn with '<|im_end|>', which ends the model's generation" in found.reason


def test_a_template_alone_makes_no_instruct_model(model: Callable[..., Chat]) -> None:
    found = model(CHATML, "<|endoftext|>")
    assert not found.is_instruct and found.kind == "completion"
    assert "but the model's generation ends at '<|endoftext|>' alone" in found.reason


def test_a_template_that_ends_turns_with_the_end_of_text_makes_an_instruct_model(
    model: Callable[..., Chat],
) -> None:
    ended_by = INST.replace('{{- {"turns": ns.turns, "sign": "<>&\'"} | tojson }}', "")
    assert model(ended_by, "<|endoftext|>", bos_token="", eos_token="<|endoftext|>").is_instruct


def test_without_a_template_there_is_no_chat(model: Callable[..., Chat]) -> None:
    assert model(None, "<|endoftext|>") == BASE


def test_a_turn_that_ends_with_plain_text_tells_nothing(model: Callable[..., Chat]) -> None:
    found = model("{% for m in messages %}{{ m.role }}: {{ m.content }}\n###\n{% endfor %}", "<|endoftext|>")
    assert not found.is_instruct and "ends no turn with a token of its own" in found.reason


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("completion", "completion-evalplus-v1"),
        ("chat", "chat-evalplus-v1"),
        ("completion-bigcode", "completion-bigcode-v1"),
        ("chat-lm-eval-v4", "chat-lm-eval-v4"),
    ],
)
def test_protocols_are_named_by_kind_name_or_label(name: str, label: str) -> None:
    assert named(TASK, name).label == label


def test_an_unknown_protocol_is_named_with_the_choices() -> None:
    with pytest.raises(UsageError, match=r"'chat-evalpuls'.*chat-evalplus.*of the task toy"):
        named(TASK, "chat-evalpuls")


def test_a_task_without_a_chat_is_asked_for_completions() -> None:
    assert not named(load_quickeval(), "chat").is_chat


def test_a_chat_without_a_template_is_refused_with_the_reason() -> None:
    with pytest.raises(UsageError, match="the model has no chat template; choose a completion protocol"):
        ready(EVALPLUS_CHAT, BASE)


def test_two_names_of_one_protocol_are_one() -> None:
    asked = asked_by(TASK, ["chat", "chat-evalplus", "completion"], INSTRUCT)
    assert [task.protocol.label for task in asked] == ["chat-evalplus-v1", "completion-evalplus-v1"]


def test_a_chats_special_tokens_are_its_templates_alone(tokenizer: Tokenizer) -> None:
    from tokenizers.processors import TemplateProcessing

    start = ("<|endoftext|>", tokenizer.token_to_id("<|endoftext|>"))
    tokenizer.post_processor = TemplateProcessing(single="<|endoftext|> $A", special_tokens=[start])
    chat, plain = (
        encode_prompt(TASK.under(ready(protocol, INSTRUCT)), PROBLEM, tokenizer)
        for protocol in (EVALPLUS_CHAT, EVALPLUS)
    )
    assert plain[0] == start[1] and start[1] not in chat
    assert chat[0] == tokenizer.token_to_id("<|im_start|>")
