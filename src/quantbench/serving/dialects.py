"""How each kind of server is asked for tokens and what its events say.

llama.cpp is asked at its own `/completion`, which alone gives the ids of tokens; vLLM, sglang and others at
`/v1/completions`. What a server would add by itself (penalties, cut distributions, cached prompts) is turned
off where it can be, so that a greedy answer is the model's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from quantbench.decoding import Request
from quantbench.errors import ServerError

Prompt = list[int] | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """Seconds as the server counted them."""

    ttft_s: float
    decode_s: float  # first token to last


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """What one event brings; `token_ids` is None where the server names no ids."""

    token_ids: tuple[int, ...] | None = None
    text: str = ""
    finish: str | None = None  # 'eos' or 'length', once
    tokens: int | None = None  # of the answer so far, as the server counts them
    prompt_tokens: int | None = None
    timings: Timings | None = None


class Dialect(Protocol):
    """One kind of server."""

    @property
    def name(self) -> str:
        """As a record's engine."""
        ...

    @property
    def path(self) -> str:
        """Where answers are asked for."""
        ...

    @property
    def names_ids(self) -> bool:
        """Whether events hold token ids."""
        ...

    @property
    def ids_path(self) -> str | None:
        """Where a text's tokens are asked for; None where that cannot be."""
        ...

    def body(self, model: str, prompt: Prompt, request: Request) -> dict[str, Any]:
        """What is posted for one streamed answer."""
        ...

    def read(self, event: Mapping[str, Any]) -> Piece:
        """An event; ServerError for one of another form."""
        ...


def is_forced(request: Request) -> bool:
    """Whether an answer must have exactly its `max_new_tokens`."""
    return not request.eos_ids and request.should_stop is None


class LlamaCpp:
    """llama.cpp's own interface; ids come with each token, timings with the last event."""

    name = "llama.cpp"
    path = "/completion"
    names_ids = True
    ids_path: str | None = "/tokenize"

    def body(self, model: str, prompt: Prompt, request: Request) -> dict[str, Any]:
        return {
            "prompt": prompt,
            "n_predict": request.max_new_tokens,
            "stream": True,
            "return_tokens": True,
            "cache_prompt": False,
            "ignore_eos": is_forced(request),
            "seed": request.seed % 2**32,
            **plain_sampling(request),
        }

    def read(self, event: Mapping[str, Any]) -> Piece:
        ids = ids_of(event.get("tokens") or [], self.name)
        text = str(event.get("content") or "")
        if not event.get("stop"):
            return Piece(token_ids=ids, text=text, tokens=whole(event.get("tokens_predicted")))
        if event.get("truncated"):
            raise ServerError(
                "llama.cpp cut an answer at the end of its context; start it with more context for each slot"
            )
        found = event.get("timings")
        timings = None
        if isinstance(found, Mapping) and "prompt_ms" in found:
            ttft_s = float(found["prompt_ms"]) / 1000
            timings = Timings(ttft_s=ttft_s, decode_s=float(found.get("predicted_ms") or 0.0) / 1000)
        return Piece(
            token_ids=ids,
            text=text,
            finish="length" if event.get("stop_type") == "limit" else "eos",
            tokens=whole(event.get("tokens_predicted")),
            prompt_tokens=whole(event.get("tokens_evaluated")),
            timings=timings,
        )


@dataclass(frozen=True, slots=True)
class OpenAi:
    """`/v1/completions`; an engine's own fields are sent to it alone, since others may refuse them."""

    name: str = "endpoint"
    names_ids: bool = False
    ids_path: str | None = None
    forces: bool = True  # takes ignore_eos
    extras: tuple[tuple[str, Any], ...] = ()  # an engine's own fields
    path: str = "/v1/completions"

    def body(self, model: str, prompt: Prompt, request: Request) -> dict[str, Any]:
        asked: dict[str, Any] = {
            "model": model,
            "prompt": prompt,
            "max_tokens": request.max_new_tokens,
            "temperature": request.temperature,
            "top_p": request.top_p if request.temperature else 1.0,
            "seed": request.seed % 2**31,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if is_forced(request) and self.forces:
            asked |= {"ignore_eos": True, "min_tokens": request.max_new_tokens}
        if self.names_ids:
            asked |= {"return_token_ids": True, "repetition_penalty": 1.0, "min_p": 0.0}
            asked |= {"skip_special_tokens": False, **dict(self.extras)}
            if request.eos_ids:
                asked["stop_token_ids"] = sorted(request.eos_ids)
        return asked

    def read(self, event: Mapping[str, Any]) -> Piece:
        usage = event.get("usage") if isinstance(event.get("usage"), Mapping) else {}
        assert isinstance(usage, Mapping)
        counted = Piece(
            tokens=whole(usage.get("completion_tokens")), prompt_tokens=whole(usage.get("prompt_tokens"))
        )
        choices = event.get("choices")
        if not isinstance(choices, list):
            raise ServerError(
                f"an event of {self.path} has no 'choices'; is this an OpenAI-compatible server?"
            )
        if not choices:
            return counted
        choice = choices[0] if isinstance(choices[0], Mapping) else {}
        finish = choice.get("finish_reason")
        ids = choice.get("token_ids") if self.names_ids else None
        return replace(
            counted,
            token_ids=None if ids is None else ids_of(ids, self.name),
            text=str(choice.get("text") or ""),
            finish=None if finish is None else ("length" if finish == "length" else "eos"),
        )


LLAMA_CPP = LlamaCpp()
VLLM = OpenAi(
    name="vllm",
    names_ids=True,
    ids_path="/tokenize",
    extras=(("top_k", 0), ("add_special_tokens", False)),
)
SGLANG = OpenAi(name="sglang", names_ids=True, extras=(("top_k", -1), ("no_stop_trim", True)))
METERED = frozenset((VLLM.name, SGLANG.name))  # tell sums of times and the use of their cache at /metrics


def plain_sampling(request: Request) -> dict[str, Any]:
    """llama.cpp's samplers, all but temperature and top-p out of the way."""
    if request.temperature == 0:
        return {"temperature": 0.0, "samplers": ["temperature"], "repeat_penalty": 1.0}
    return {
        "temperature": request.temperature,
        "top_p": request.top_p,
        "samplers": ["temperature", "top_p"],
        "repeat_penalty": 1.0,
    }


def ids_of(values: Sequence[Any], name: str) -> tuple[int, ...]:
    """Token ids of an event; ServerError for anything else."""
    if not isinstance(values, list) or not all(isinstance(value, int) for value in values):
        raise ServerError(f"{name} sent tokens that are no numbers; use another version of it")
    return tuple(values)


def whole(value: Any) -> int | None:
    """A count; None where there is none."""
    return value if isinstance(value, int) and value >= 0 else None
