"""Text as lm-eval's models read it: its rules for special tokens, prefixes and chats.

The rules are those of lm-eval's `hf` model: a text that begins with the prefix token gets no second one; what
has no context is conditioned on the beginning of text, or on its end where the tokenizer has no beginning.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from quantbench.errors import ModelError, UsageError
from quantbench.sources import ModelSource, eos_ids
from quantbench.sources.chat_template import CUT, ChatTemplate, Message, load_chat_template, named_tokens

if TYPE_CHECKING:
    from tokenizers import Tokenizer


@dataclass(frozen=True, slots=True, kw_only=True)
class HarnessText:
    """A model's tokenizer with what lm-eval must know of it."""

    tokenizer: "Tokenizer"
    name: str  # of the model
    eos_id: int
    prefix_id: int  # what a text without context is conditioned on
    end_ids: frozenset[int]  # tokens that end an answer
    bos: str | None = None  # the beginning of text as text; None where the tokenizer has none
    template: ChatTemplate | None = None
    add_special: bool | None = None  # instead of what the tokenizer does by itself

    def encode(self, text: str, add_special_tokens: bool | None = None) -> list[int]:
        """Token ids; special tokens as the tokenizer adds them, unless the text begins with the prefix."""
        if add_special_tokens is None:
            add_special_tokens = True if self.add_special is None else self.add_special
            if text.startswith(self.tokenizer.decode([self.prefix_id], skip_special_tokens=False)):
                add_special_tokens = False
        return list(self.tokenizer.encode(text, add_special_tokens=add_special_tokens).ids)

    def encode_prompt(self, text: str) -> list[int]:
        """Token ids of what is to be continued; a beginning of text that is there is not added again."""
        if self.bos is not None and text.startswith(self.bos):
            return self.encode(text, add_special_tokens=False)
        return self.encode(text, add_special_tokens=True if self.add_special is None else self.add_special)

    def decode(self, ids: Sequence[int]) -> str:
        """New tokens alone as text, without special tokens."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True))

    @property
    def eos(self) -> str:
        """The end of text as text."""
        return str(self.tokenizer.decode([self.eos_id], skip_special_tokens=False))

    def chat(self, messages: list[Message], *, add_generation_prompt: bool) -> str:
        """Messages in the model's own template; the last one goes on where no prompt is added.

        A template that refuses a system message is asked again without it. ModelError without a template.
        """
        if self.template is None:
            raise ModelError(f"'{self.name}' has no chat template; use lm-eval:TASK, not lm-eval-chat:TASK")
        try:
            return rendered(self.template, messages, add_generation_prompt)
        except ModelError:
            others = [message for message in messages if message["role"] != "system"]
            if len(others) == len(messages):
                raise
            return rendered(self.template, others, add_generation_prompt)


def rendered(template: ChatTemplate, messages: list[Message], add_generation_prompt: bool) -> str:
    """Messages as text; without a generation prompt up to the end of the last message."""
    if add_generation_prompt:
        return template.render(messages, add_generation_prompt=True)
    last = messages[-1]
    return template.up_to_cut([*messages[:-1], {**last, "content": f"{last['content']}{CUT}"}])


def read_harness_text(
    source: ModelSource,
    tokenizer: "Tokenizer",
    *,
    prefix_id: int | None = None,
    add_special: bool | None = None,
) -> HarnessText:
    """What lm-eval must know of an opened model; UsageError where no token ends its texts."""
    tokens = named_tokens(source)
    ends = eos_ids(source)
    bos, eos = tokens.get("bos_token"), tokens.get("eos_token")
    bos_id = None if bos is None else tokenizer.token_to_id(bos)
    eos_id = None if eos is None else tokenizer.token_to_id(eos)
    eos_id = min(ends, default=None) if eos_id is None else eos_id
    first = prefix_id if prefix_id is not None else bos_id if bos_id is not None else eos_id
    if first is None:
        raise UsageError(
            f"'{source.name}' names neither a beginning nor an end of text, which lm-eval puts before a text "
            "without context; add eos_token to its tokenizer_config.json"
        )
    text = HarnessText(
        tokenizer=tokenizer,
        name=source.name,
        eos_id=first if eos_id is None else eos_id,
        prefix_id=first,
        end_ids=ends if eos_id is None else ends | {eos_id},
        bos=bos if bos_id is not None else None,
        add_special=add_special,
    )
    return replace(text, template=load_chat_template(source))
