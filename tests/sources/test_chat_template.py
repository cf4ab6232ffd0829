"""A model's chat template renders what transformers renders, and cannot do more than render."""

import json
from pathlib import Path
from typing import Any

import pytest
from transformers.utils.chat_template_utils import render_jinja_template

from quantbench.errors import ModelError
from quantbench.sources import open_source
from quantbench.sources.chat_template import CUT, ChatTemplate, load_chat_template
from tests.chat_templates import CHATML, INST, TEMPLATES, TOKENS, TURNS
from tests.model_folders import write_folder

USER = {"role": "user", "content": "  Write f.\n```\ndef f():\n```\n"}
ANSWER = {"role": "assistant", "content": "Here:\n```python\ndef f():\n"}
AFTER = {"role": "user", "content": "naïve ✓ {{ 1 + 1 }}"}


def template(text: str) -> ChatTemplate:
    return ChatTemplate(text=text, origin="a test", special_tokens=TOKENS)


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("messages", [[USER], [USER, ANSWER], [USER, ANSWER, AFTER]], ids=len)
@pytest.mark.parametrize("prompt", [True, False])
def test_messages_become_the_text_that_transformers_makes(
    name: str, messages: list[dict[str, str]], prompt: bool
) -> None:
    expected, _ = render_jinja_template(
        [messages], chat_template=TEMPLATES[name], add_generation_prompt=prompt, **TOKENS
    )
    assert template(TEMPLATES[name]).render(messages, add_generation_prompt=prompt) == expected[0]


@pytest.mark.parametrize("name", [name for name in TEMPLATES if name != "headers"])
def test_an_answer_that_goes_on_is_the_one_that_transformers_continues(name: str) -> None:
    expected, _ = render_jinja_template(
        [[USER, ANSWER]], chat_template=TEMPLATES[name], continue_final_message=True, **TOKENS
    )
    begun = ANSWER | {"content": ANSWER["content"] + CUT}
    assert template(TEMPLATES[name]).up_to_cut([USER, begun]) == expected[0]


@pytest.mark.parametrize(
    ("name", "end"),
    [
        ("chatml", "<|im_end|>"),
        ("headers", "<|eot_id|>"),
        ("turns", "<end_of_turn>"),
        ("thinks", "<|im_end|>"),
    ],
)
def test_what_ends_a_turn_is_read_from_the_template(name: str, end: str) -> None:
    assert template(TEMPLATES[name]).turn_end == end


@pytest.mark.parametrize(
    "text",
    [
        "{{ messages.__class__.__mro__ }}",
        "{{ ''.__class__.__base__.__subclasses__() }}",
        "{% set ns = namespace() %}{% set ns.__class__ = 1 %}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ lipsum.__globals__['os'].system('true') }}",
    ],
)
def test_a_template_cannot_reach_python(text: str) -> None:
    with pytest.raises(ModelError, match="cannot be rendered"):
        template(text).render([USER])


def test_a_template_that_refuses_is_an_error_that_names_the_fix() -> None:
    with pytest.raises(ModelError, match=r"a test.*no system role.*completion protocol with --protocols"):
        template(TURNS).render([{"role": "system", "content": "x"}])


def test_a_template_that_drops_answers_is_named() -> None:
    with pytest.raises(ModelError, match="drops what an assistant said"):
        template("{{ messages[0].content }}").up_to_cut([USER, {"role": "assistant", "content": CUT}])


def folder(path: Path, files: dict[str, Any]) -> ChatTemplate | None:
    write_folder(path)
    for name, content in files.items():
        (path / name).write_text(content if isinstance(content, str) else json.dumps(content))
    return load_chat_template(open_source(str(path)))


EOS = {"content": "</s>", "lstrip": False}


@pytest.mark.parametrize(
    ("files", "origin"),
    [
        (
            {"chat_template.jinja": CHATML, "tokenizer_config.json": {"eos_token": "</s>"}},
            "chat_template.jinja",
        ),
        ({"tokenizer_config.json": {"chat_template": CHATML, "eos_token": EOS}}, "tokenizer_config.json"),
        (
            {
                "tokenizer_config.json": {
                    "chat_template": [
                        {"name": "tool_use", "template": INST},
                        {"name": "default", "template": CHATML},
                    ]
                },
                "special_tokens_map.json": {"eos_token": "</s>"},
            },
            "tokenizer_config.json",
        ),
        (
            {"chat_template.json": {"chat_template": CHATML}, "tokenizer_config.json": {"eos_token": "</s>"}},
            "chat_template.json",
        ),
        (
            {
                "chat_template.jinja": CHATML,
                "tokenizer_config.json": {"chat_template": INST, "eos_token": "</s>"},
            },
            "chat_template.jinja",
        ),
    ],
)
def test_a_folders_template_is_found_wherever_it_stands(
    tmp_path: Path, files: dict[str, Any], origin: str
) -> None:
    found = folder(tmp_path, files)
    assert found is not None
    assert (found.text, found.origin, found.special_tokens["eos_token"]) == (CHATML, origin, "</s>")


def test_a_folder_without_a_template_has_none(tmp_path: Path) -> None:
    assert folder(tmp_path, {"tokenizer_config.json": {"eos_token": "</s>"}}) is None


def test_todays_date_is_the_same_on_every_day() -> None:
    """Trials of one run, and a run that is resumed, have the same prompts."""
    dated = template("{{ strftime_now('%d %b %Y') }}: {{ messages[0].content }}")
    assert dated.render([{"role": "user", "content": "x"}]) == "26 Jul 2024: x"
