"""Which server answers, and whether the model behind it is the one that was asked for.

By name: of several models one must be named. By its tokens: a server that can split text must do it as the
model's own tokenizer does, and a vocabulary that it tells must have the model's size. Whether the weights are
the same shows in the distance from the baseline alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from quantbench.decoding import Request
from quantbench.errors import RefusedError, ServerError
from quantbench.serving.dialects import LLAMA_CPP, SGLANG, VLLM, Dialect, OpenAi
from quantbench.serving.http import Server
from quantbench.sources import ModelSource

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SAMPLE = "def f(x):\n    return [x + 12, 'naïve  ½']\n\n\n# It's a test.\n"
PROBE = (1, 2, 3)  # tokens that any model has


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What answers at an address."""

    dialect: Dialect
    name: str  # the model, as the server calls it
    version: str | None
    takes_ids: bool
    facts: Mapping[str, str]
    meta: Mapping[str, Any]  # of the model, where the server tells any


def identify(server: Server, source: ModelSource, served_name: str | None) -> Identity:
    """The kind of server at an address and its model; ServerError for a wrong one."""
    listed = server.known("/v1/models")
    models = [m for m in (listed or {}).get("data") or [] if isinstance(m, Mapping) and m.get("id")]
    if not models:
        raise ServerError(
            f"{server.url}/v1/models names no model; give the address of an OpenAI-compatible server"
        )
    model = chosen(models, source, served_name, server.url)
    name, meta = str(model["id"]), model.get("meta")
    props = server.known("/props") if model.get("owned_by") == "llamacpp" else None
    facts: dict[str, str] = {}
    if isinstance(props, Mapping) and "default_generation_settings" in props:
        build = props.get("build_info")
        return Identity(
            dialect=LLAMA_CPP,
            name=name,
            version=None if build is None else str(build),
            takes_ids=True,
            facts={"slots": str(props.get("total_slots", "unknown"))},
            meta=meta if isinstance(meta, Mapping) else {},
        )
    if model.get("owned_by") == "vllm":
        version = server.known("/version") or {}
        meta = {"context": model.get("max_model_len")}
        told = str(version["version"]) if "version" in version else None
        return Identity(dialect=VLLM, name=name, version=told, takes_ids=True, facts=facts, meta=meta)
    if model.get("owned_by") == "sglang":
        about = server.known("/server_info") or {}
        meta = {"context": model.get("max_model_len")}
        told = str(about["version"]) if isinstance(about, Mapping) and "version" in about else None
        return Identity(dialect=SGLANG, name=name, version=told, takes_ids=True, facts=facts, meta=meta)
    dialect = OpenAi(
        forces=takes(server, name, OpenAi(), list(PROBE)) or takes(server, name, OpenAi(), "a b")
    )
    ids = takes(server, name, dialect, list(PROBE))
    return Identity(dialect=dialect, name=name, version=None, takes_ids=ids, facts=facts, meta={})


def chosen(
    models: list[Mapping[str, Any]], source: ModelSource, served_name: str | None, url: str
) -> Mapping[str, Any]:
    """The server's model with the asked name; ServerError where it is not told which, or has another."""
    names = [str(model["id"]) for model in models]
    listed = ", ".join(f"'{name}'" for name in names[:5]) + (", ..." if len(names) > 5 else "")
    if served_name is not None:
        if served_name not in names:
            raise ServerError(f"{url} has no model '{served_name}'; name one of {listed} with --served-name")
        return models[names.index(served_name)]
    own = {last_part(source.name), last_part(str(getattr(source, "path", source.name)))}
    alike = [model for model in models if last_part(str(model["id"])) in own]
    if len(alike) == 1:
        return alike[0]
    raise ServerError(
        f"{url} serves {listed}, none of which is surely '{source.name}'; if it is the same model, say so "
        f"with --served-name {names[0]}"
    )


def last_part(name: str) -> str:
    """A model's name without folders, owner and case: 'qwen2.5-0.5b'."""
    return PurePath(name.rstrip("/")).name.lower().removesuffix(".gguf")


def takes(server: Server, name: str, dialect: OpenAi, prompt: list[int] | str) -> bool:
    """Whether a server answers this kind of prompt, read as so many tokens where those are ids."""
    request = Request(prompt_ids=PROBE, max_new_tokens=1)
    tokens: int | None = None
    try:
        for event in server.stream(dialect.path, dialect.body(name, prompt, request), retry=True):
            tokens = dialect.read(event).prompt_tokens or tokens
    except RefusedError:
        return False
    return isinstance(prompt, str) or tokens in (None, len(prompt))


def check_tokens(server: Server, found: Identity, source: ModelSource, tokenizer: "Tokenizer | None") -> None:
    """ServerError where the server has another vocabulary, or splits text into other tokens."""
    size, told = source.config.get("vocab_size"), found.meta.get("n_vocab")
    if isinstance(told, int) and isinstance(size, int) and told != size:
        raise ServerError(
            f"the model behind {server.url} has {told} tokens, but '{source.name}' has {size}: it is another "
            "model; correct --base-url or the model"
        )
    path = found.dialect.ids_path
    if tokenizer is None or path is None:
        return
    body = {"content": SAMPLE, "prompt": SAMPLE, "add_special": False, "add_special_tokens": False}
    if path != LLAMA_CPP.ids_path or found.dialect is not LLAMA_CPP:
        body = {"model": found.name, "prompt": SAMPLE, "add_special_tokens": False}
    answer = server.request(path, body)
    theirs = answer.get("tokens") if isinstance(answer, Mapping) else None
    ours = list(tokenizer.encode(SAMPLE, add_special_tokens=False).ids)
    if theirs != ours:
        raise ServerError(
            f"the model behind {server.url} splits text into other tokens than '{source.name}': it is "
            "another model; correct --base-url or the model"
        )
