"""A model's own chat template: what it makes of messages, byte for byte what transformers makes of them.

Templates are programs that came with a model: they run in jinja's sandbox, in the environment that
transformers gives them, without importing it. Some templates state today's date: here it is always the same,
so that a run that goes on tomorrow, or is resumed then, asks the same questions.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from quantbench.errors import ModelError
from quantbench.sources.folder import read_json
from quantbench.sources.gguf_source import GgufSource
from quantbench.sources.source import ModelSource

if TYPE_CHECKING:
    from jinja2 import Template

Message = dict[str, str]  # 'role' and 'content'

FILE = "chat_template.jinja"
CONFIG = "tokenizer_config.json"
TOKENS = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
TODAY = datetime(2024, 7, 26)  # what Llama's templates state by themselves where they are given no clock
CUT = "-[[cut-here]]-"  # stands in a message where the rendered text is to be cut


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatTemplate:
    """A template, the special tokens that it may name, and the file or metadata that hold it."""

    text: str
    origin: str
    special_tokens: Mapping[str, str] = field(default_factory=dict)

    def render(self, messages: list[Message], *, add_generation_prompt: bool = False) -> str:
        """The messages as text; ModelError for a template that fails."""
        try:
            template = compiled(self.text)
            return template.render(
                messages=[dict(message) for message in messages],
                tools=None,
                documents=None,
                add_generation_prompt=add_generation_prompt,
                **self.special_tokens,
            )
        except Exception as error:  # whatever a template's code raises
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            raise ModelError(
                f"the model's chat template ({self.origin}) cannot be rendered ({reason}); "
                "choose a completion protocol with --protocols"
            ) from error

    def up_to_cut(self, messages: list[Message]) -> str:
        """The messages as text up to CUT, which the last one holds; ModelError where it is dropped."""
        before, cut, _ = self.render(messages).partition(CUT)
        if not cut:
            raise ModelError(
                f"the model's chat template ({self.origin}) drops what an assistant said; "
                "choose the protocol chat-plain or a completion protocol with --protocols"
            )
        return before

    @property
    def turn_end(self) -> str:
        """What the template writes behind an answer, without white space around it; '' where nothing is."""
        messages = [{"role": "user", "content": "1"}, {"role": "assistant", "content": CUT}]
        return self.render(messages).rpartition(CUT)[2].strip()


def template_of_gguf(source: GgufSource) -> ChatTemplate | None:
    """The template in a GGUF file's metadata; None without one."""
    text = source.metadata.get("tokenizer.chat_template")
    if not isinstance(text, str) or not isinstance(source.metadata.get("tokenizer.ggml.tokens"), list):
        return None
    return ChatTemplate(text=text, origin=source.path.name, special_tokens=tokens_of_gguf(source))


def tokens_of_gguf(source: GgufSource) -> dict[str, str]:
    """The special tokens that a GGUF file's metadata names, as text."""
    tokens = source.metadata.get("tokenizer.ggml.tokens")
    ids = {
        f"{name}_token": source.metadata.get(f"tokenizer.ggml.{key}_token_id")
        for name, key in (("bos", "bos"), ("eos", "eos"), ("pad", "padding"), ("unk", "unknown"))
    }
    return {
        name: str(tokens[index])
        for name, index in ids.items()
        if isinstance(tokens, list) and isinstance(index, int) and 0 <= index < len(tokens)
    }


def named_tokens(source: ModelSource) -> dict[str, str]:
    """The special tokens that a model names, as text: 'bos_token', 'eos_token'."""
    if isinstance(source, GgufSource):
        return tokens_of_gguf(source)
    folder = source.folder
    if folder is None:
        return {}
    return special_tokens(folder, read_json(folder / CONFIG) if (folder / CONFIG).is_file() else {})


def load_chat_template(source: ModelSource) -> ChatTemplate | None:
    """The template of a model's folder; None without one. A file of its own wins over the configuration's."""
    if isinstance(source, GgufSource):
        return template_of_gguf(source)
    folder = source.folder
    if folder is None:
        return None
    config = read_json(folder / CONFIG) if (folder / CONFIG).is_file() else {}
    tokens = special_tokens(folder, config)
    if (folder / FILE).is_file():
        return ChatTemplate(text=read_text(folder / FILE), origin=FILE, special_tokens=tokens)
    for name in (CONFIG, "chat_template.json"):
        values = config if name == CONFIG else read_json(folder / name) if (folder / name).is_file() else {}
        if text := default_template(values.get("chat_template")):
            return ChatTemplate(text=text, origin=name, special_tokens=tokens)
    return None


def read_text(path: Path) -> str:
    """A template's file; ModelError where it is no text."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ModelError(f"cannot read '{path}' ({error}); download the model again") from error


def default_template(value: Any) -> str | None:
    """The one template, or that named 'default' of several."""
    if isinstance(value, list):
        named = {str(entry.get("name")): entry.get("template") for entry in value if isinstance(entry, dict)}
        value = named.get("default")
    return value if isinstance(value, str) and value.strip() else None


def special_tokens(folder: Path, config: Mapping[str, Any]) -> dict[str, str]:
    """The special tokens that a tokenizer's configuration names, as text."""
    path = folder / "special_tokens_map.json"
    values = (read_json(path) if path.is_file() else {}) | {
        name: value for name, value in config.items() if value is not None
    }
    found = {}
    for name in TOKENS:
        value = values.get(name)
        text = value.get("content") if isinstance(value, dict) else value
        if isinstance(text, str):
            found[name] = text
    return found


@lru_cache(maxsize=8)
def compiled(text: str) -> "Template":
    """The template in the environment that transformers gives it."""
    from jinja2.ext import Extension, loopcontrols
    from jinja2.nodes import CallBlock, Node
    from jinja2.parser import Parser
    from jinja2.sandbox import ImmutableSandboxedEnvironment
    from jinja2.utils import Namespace

    class GenerationTag(Extension):
        """{% generation %} marks what an assistant said; it changes no text."""

        tags = {"generation"}  # noqa: RUF012

        def parse(self, parser: Parser) -> Node:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return CallBlock(self.call_method("_same"), [], [], body).set_lineno(line)

        def _same(self, caller: Any) -> str:
            return str(caller())

    class Names(Namespace):
        """A namespace whose attributes cannot be those of Python's own objects."""

        def __setitem__(self, name: str, value: Any) -> None:
            if name.startswith("_"):
                refuse(f"a template cannot set '{name}'")
            super().__setitem__(name, value)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[GenerationTag, loopcontrols]
    )
    environment.filters["tojson"] = to_json
    environment.globals["namespace"] = Names
    environment.globals["raise_exception"] = refuse
    environment.globals["strftime_now"] = TODAY.strftime
    return environment.from_string(text)


def to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """A value as JSON, without HTML's escapes."""
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def refuse(message: str) -> NoReturn:
    """What a template calls for messages that it does not take."""
    raise ValueError(message)
