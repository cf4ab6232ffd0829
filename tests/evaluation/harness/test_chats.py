"""Chats for lm-eval are those that its `hf` model makes with the same template."""

import pytest

pytest.importorskip("lm_eval")

import transformers
from tokenizers import Tokenizer, models

from quantbench.errors import ModelError
from quantbench.evaluation.harness.text import HarnessText
from quantbench.sources.chat_template import ChatTemplate
from tests.chat_templates import CHATML, HEADERS, TURNS

TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}
USER = [{"role": "user", "content": "Two and two?"}]
EXAMPLES = [*USER, {"role": "assistant", "content": "Four."}, {"role": "user", "content": "Three and one?"}]
BEGUN = [*EXAMPLES, {"role": "assistant", "content": "The answer is"}]


def text(template: str | None) -> HarnessText:
    made = None if template is None else ChatTemplate(text=template, origin="test", special_tokens=TOKENS)
    tokenizer = Tokenizer(models.WordLevel({"<s>": 0, "</s>": 1}, unk_token="<s>"))
    return HarnessText(
        tokenizer=tokenizer, name="m", eos_id=1, prefix_id=0, end_ids=frozenset({1}), template=made
    )


def theirs(template: str, messages: list[dict[str, str]], add_generation_prompt: bool) -> str:
    """What lm-eval's `hf` model does with transformers' tokenizer, system message dropped where refused."""
    from lm_eval.models.huggingface import HFLM

    model = object.__new__(HFLM)
    model.tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=text(None).tokenizer, **TOKENS)
    model.tokenizer.chat_template = template
    model.chat_template_args = {}
    return HFLM.apply_chat_template(model, messages, add_generation_prompt)


@pytest.mark.parametrize("template", [CHATML, HEADERS, TURNS])
@pytest.mark.parametrize("system", [[], [{"role": "system", "content": "Be brief."}]])
@pytest.mark.parametrize(("messages", "prompt"), [(USER, True), (EXAMPLES, True), (BEGUN, False)])
def test_a_chat_is_hfs_byte_for_byte(
    template: str, system: list[dict[str, str]], messages: list[dict[str, str]], prompt: bool
) -> None:
    ours = text(template).chat([*system, *messages], add_generation_prompt=prompt)
    assert ours == theirs(template, [*system, *messages], prompt)


def test_a_model_without_a_template_is_told_so() -> None:
    with pytest.raises(ModelError, match="use lm-eval:TASK, not lm-eval-chat:TASK"):
        text(None).chat(USER, add_generation_prompt=True)
