"""Which protocols a model is asked by, and a chat's prompts in the model's own template.

A model is an instruct model when its chat template ends an assistant's turn with a token that also ends the
model's generation: base models that ship a template (Qwen's do) end at their end of text alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from quantbench.errors import ModelError, UsageError, unknown
from quantbench.sources import ModelSource, eos_ids
from quantbench.sources.chat_template import CUT, ChatTemplate, load_chat_template
from quantbench.tasks.problem import Problem, PromptProtocol, Task

if TYPE_CHECKING:
    from tokenizers import Tokenizer

AUTO, CHAT, COMPLETION = "auto", "chat", "completion"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chat:
    """What a model brings for a chat, and whether it was trained for one; `reason` says how that is known."""

    template: ChatTemplate | None
    is_instruct: bool
    reason: str
    end_token: str | None = None  # ends a turn

    @property
    def sentence(self) -> str:
        """What the model is taken for, and why."""
        kind = "an instruct model" if self.is_instruct else "a base model"
        return f"the model is taken for {kind}: {self.reason}"

    @property
    def kind(self) -> str:
        """What `auto` stands for."""
        return CHAT if self.is_instruct else COMPLETION


def read_chat(source: ModelSource, tokenizer: "Tokenizer") -> Chat:
    """The model's template and what its tokens say of its training."""
    template = load_chat_template(source)
    if template is None:
        return Chat(template=None, is_instruct=False, reason="the model has no chat template")
    try:
        end = first_token(template.turn_end, tokenizer)
    except ModelError as error:  # told again by whoever wants to render it
        return Chat(template=template, is_instruct=False, reason=str(error))
    if end is None:
        reason = f"its template ({template.origin}) ends no turn with a token of its own"
        return Chat(template=template, is_instruct=False, reason=reason)
    ends = eos_ids(source)
    is_instruct = tokenizer.token_to_id(end) in ends
    does = "which ends the model's generation" if is_instruct else "but the model's generation ends at "
    if not is_instruct:
        does += ", ".join(f"'{tokenizer.id_to_token(i)}'" for i in sorted(ends)) or "no token"
        does += " alone, as that of base models that ship a template"
    return Chat(
        template=template,
        is_instruct=is_instruct,
        reason=f"its template ({template.origin}) ends a turn with '{end}', {does}",
        end_token=end,
    )


def first_token(text: str, tokenizer: "Tokenizer") -> str | None:
    """The added token that a text starts with; None where it starts with plain text."""
    ids = tokenizer.encode(text, add_special_tokens=False).ids if text else []
    added = tokenizer.get_added_tokens_decoder()
    return added[ids[0]].content if ids and ids[0] in added else None


def named(task: Task, name: str) -> PromptProtocol:
    """A task's protocol by name, with or without its version, or the first of a kind.

    A task without a chat is asked for a completion. UsageError for a name that none of its protocols has.
    """
    known = task.protocols or (task.protocol,)
    if name in (CHAT, COMPLETION):
        of_kind = [protocol for protocol in known if protocol.is_chat == (name == CHAT)]
        return (of_kind or known)[0]
    for protocol in known:
        if name in (protocol.name, protocol.label):
            return protocol
    names = [AUTO, CHAT, COMPLETION, *(protocol.name for protocol in known)]
    raise UsageError(f"{unknown('protocol', name, names)} (of the task {task.name})")


def asked_by(task: Task, names: Sequence[str], chat: Chat) -> list[Task]:
    """The task under each protocol, ready to be asked; each protocol once."""
    chosen = {protocol.label: protocol for name in names for protocol in [named(task, name)]}
    return [task.under(ready(protocol, chat)) for protocol in chosen.values()]


def ready(protocol: PromptProtocol, chat: Chat) -> PromptProtocol:
    """The protocol with the model's template in its prompt; UsageError where a chat needs one."""
    talk, template = protocol.conversation, chat.template
    if talk is None:
        return protocol
    if template is None:
        raise UsageError(
            f"the protocol {protocol.name} needs a chat template, and {chat.reason}; "
            "choose a completion protocol with --protocols"
        )

    def prompt(problem: Problem) -> str:
        said = talk(problem)
        user = {"role": "user", "content": said.user}
        if not said.begins:
            return template.render([user], add_generation_prompt=True)
        answer = {"role": "assistant", "content": f"{said.begins}{CUT}{said.goes_on}"}
        return template.up_to_cut([user, answer])

    return replace(protocol, prompt=prompt, end_token=chat.end_token)
