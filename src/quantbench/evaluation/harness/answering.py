"""lm-eval's generation settings as requests to a decoder; what cannot be done as asked is refused."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from quantbench.decoding import Request
from quantbench.errors import UsageError
from quantbench.evaluation.harness.text import HarnessText

LENGTHS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")  # the first one counts
NEUTRAL: dict[str, tuple[Any, ...]] = {  # values that change nothing
    "num_beams": (1, None),
    "top_k": (0, -1, None),
    "min_p": (0, 0.0, None),
    "repetition_penalty": (1, 1.0, None),
    "presence_penalty": (0, 0.0, None),
    "frequency_penalty": (0, 0.0, None),
    "length_penalty": (1, 1.0, None),
    "use_cache": (True, None),
}
SAMPLING = ("temperature", "top_p", "top_k", "min_p")  # without effect where decoding is greedy
SEED_STEP = 1_000_003


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerSettings:
    """How one request of lm-eval is to be answered."""

    stops: tuple[str, ...]
    ends: frozenset[int]
    max_new_tokens: int
    temperature: float
    top_p: float


class AnswerStops:
    """A StopCheck: whether the new tokens alone read as text with one of the stops."""

    def __init__(self, text: HarnessText, stops: Sequence[str]) -> None:
        self._text, self._stops = text, tuple(stops)

    def __call__(self, token_ids: Sequence[int], new: int) -> bool:
        written = self._text.decode(token_ids)
        return any(stop in written for stop in self._stops)


def settings_of(wanted: Mapping[str, Any], text: HarnessText, length: int) -> AnswerSettings:
    """A task's `generation_kwargs`; UsageError for one that the engine cannot follow."""
    left = dict(wanted)
    until = left.pop("until", None) or []
    stops = [until] if isinstance(until, str) else list(until)
    lengths = [value for name in LENGTHS if (value := left.pop(name, None)) is not None]
    temperature = float(left.pop("temperature", None) or 0.0)
    sampled = left.pop("do_sample", None)
    greedy = not temperature or sampled is False
    top_p = left.pop("top_p", None)
    for name, value in left.items():
        if value not in NEUTRAL.get(name, ()) and not (greedy and name in SAMPLING):
            raise UsageError(
                f"the task asks lm-eval for {name}={value!r}, which the engine cannot do; "
                "leave the task out, or change its generation_kwargs"
            )
    named = [stop for stop in (*stops, text.eos) if stop]
    return AnswerSettings(
        stops=tuple(dict.fromkeys(named)),
        ends=text.end_ids | special_ids(named, text),
        max_new_tokens=int(lengths[0]) if lengths else length,
        temperature=0.0 if greedy else temperature,
        top_p=1.0 if greedy or top_p is None else float(top_p),
    )


def special_ids(stops: Sequence[str], text: HarnessText) -> frozenset[int]:
    """Stops that are special tokens: they are left out of decoded text, so that only their ids tell."""
    special = {
        token.content: index
        for index, token in text.tokenizer.get_added_tokens_decoder().items()
        if token.special
    }
    return frozenset(special[stop] for stop in stops if stop in special)


def request_of(
    context: str, settings: AnswerSettings, text: HarnessText, max_length: int, index: int
) -> Request:
    """One answer to be asked for, its context cut from the left so that the answer has room.

    UsageError where the answer alone is too long; `index` sets the seed of what is drawn.
    """
    room = max_length - settings.max_new_tokens
    if room < 1:
        raise UsageError(
            f"lm-eval asks for {settings.max_new_tokens} new tokens, but the model takes {max_length} tokens "
            "in all; leave the task out"
        )
    prompt = text.encode_prompt(context)[-room:] or [text.prefix_id]
    return Request(
        prompt_ids=tuple(prompt),
        max_new_tokens=settings.max_new_tokens,
        eos_ids=settings.ends,
        should_stop=AnswerStops(text, settings.stops),
        temperature=settings.temperature,
        top_p=settings.top_p,
        seed=index * SEED_STEP,
    )


def cut_at_stops(written: str, stops: Sequence[str]) -> str:
    """The text up to its earliest stop."""
    for stop in stops:
        written = written.split(stop)[0]
    return written
