"""The one way to run a model: the Decoder protocol, token ids in, token ids and logits out.

Everything that is measured goes through it, so that methods and engines are compared on the same
prompts with the same code. It knows no text: tokenizers and stop strings live above it.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from quantbench.kernels import Kernel

if TYPE_CHECKING:
    import torch


FLOAT_SCHEMES = frozenset({"W32", "W16", "WBF16"})
NO_TOKEN = -1  # in place of a token: the greatest logit is NaN or infinite, so that none can be chosen


class FinishReason(StrEnum):
    EOS = "eos"
    STOP = "stop"
    LENGTH = "length"
    UNANSWERED = "unanswered"  # the model could not be given the prompt; no decoder says so


class Phase(StrEnum):
    """Parts of a generation that a decoder may compute in unlike arithmetic; shown as it is."""

    PROMPT = "prompts"
    DECODE = "new tokens"


def scheme_by_phase(weights: str, bits: Mapping[Phase, int]) -> str:
    """Weights ('W4') with the bits of activations: 'W4A16'; 'W8A32, prompts W8A8' where phases differ."""
    decode, prompt = bits[Phase.DECODE], bits[Phase.PROMPT]
    scheme = f"{weights}A{decode}"
    if prompt == decode:
        return scheme
    held = max(int(bits) for bits in re.findall(r"\d+", weights))
    return f"{scheme}, {Phase.PROMPT} {weights if held <= prompt else f'W{prompt}'}A{prompt}"


def held_scheme(schemes: Mapping[str, tuple[str, int]]) -> str:
    """How the quantized matrices are held, or where none is all of them: 'W4', 'W4/5/6/8' where they differ.

    `schemes` are a decoder's own.
    """
    held = {scheme for scheme, _ in schemes.values()}
    chosen = held - FLOAT_SCHEMES or held
    bits = sorted({int(number) for scheme in chosen for number in re.findall(r"\d+", scheme)})
    return "W" + "/".join(str(number) for number in bits) if len(chosen) > 1 else chosen.pop()


class StopCheck(Protocol):
    """Says whether a row may end. Called with all generated ids and how many are new since last time.

    A decoder may call it after every token or every few tokens; a row may therefore run a few tokens
    past its stop, and whoever reads the text truncates it at the earliest stop.
    """

    def __call__(self, token_ids: Sequence[int], new: int) -> bool: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One row to generate; without eos_ids and should_stop its length is forced."""

    prompt_ids: tuple[int, ...]
    max_new_tokens: int
    eos_ids: frozenset[int] = frozenset()
    should_stop: StopCheck | None = None
    temperature: float = 0.0  # 0 is greedy
    top_p: float = 1.0
    seed: int = 0  # of this row alone, so that sampling does not depend on its neighbours


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    token_ids: tuple[int, ...]  # without the prompt; an ending eos token is not included
    finish_reason: FinishReason


class Decoder(Protocol):
    """A loaded model under one method, on one device."""

    engine: str  # 'native', 'transformers', or a server's kind
    vocab_size: int
    max_positions: int  # prompt and new tokens together, at most
    device: str

    def generate(
        self,
        requests: Sequence[Request],
        *,
        batch_size: int,
        on_first_token: Callable[[], None] | None = None,
        on_finish: Callable[[int, Generation], None] | None = None,
    ) -> list[Generation]:
        """Generate every request, at most `batch_size` rows at once, results in the requests' order.

        Rows leave when they end and waiting requests take their place. `on_first_token` is called once,
        when the first token of every row of the first batch is on the host; `on_finish(index, generation)`
        as each row ends. NotFiniteError where the logits of a row name no token.
        """
        ...

    def score(
        self, sequences: Sequence[Sequence[int]], prompt_lengths: Sequence[int] | None = None
    ) -> "Iterator[torch.Tensor]":
        """Teacher-forced logits, one float32 tensor [len(sequence), vocab_size] a sequence, in order.

        The first `prompt_lengths[i]` tokens are computed as a prompt that is to be continued, the others as
        new tokens are, as far as the kernel of "teacher forcing" says. Without lengths all are new tokens.
        """
        ...

    def activation_bits(self) -> Mapping[Phase, int]:
        """Bits of the activations that weights are multiplied with, in each phase.

        Weights that have more bits than a prompt's activations are rounded to as many there.
        """
        ...

    def resident_tensors(self) -> "Iterable[tuple[str, torch.Tensor]]":
        """Every plain tensor that holds parameters now: packed weights, scales, zeros, norms, biases."""
        ...

    def schemes(self) -> Mapping[str, tuple[str, int]]:
        """Weight matrix name -> (scheme it is really held in, its parameter count); tied ones once."""
        ...

    def kernels(self) -> Sequence[Kernel]:
        """What ran, fall-backs with their reason."""
        ...

    def step_bytes(self, batch_size: int, context: int) -> tuple[int, int]:
        """(weight bytes, KV cache bytes) that one decode step must read at this batch and context."""
        ...

    def synchronize(self) -> None:
        """Wait for the device."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class MostLikely:
    """Teacher-forced predictions of one text as a server tells them, N = all its tokens but the first."""

    ids: list[list[int]]  # [N, k], most likely first; the first again where fewer were told
    log_p: list[list[float]]  # [N, k], nats; minus infinity where fewer were told
    true_log_p: list[float]  # [N], of the token that follows


@runtime_checkable
class TellsMostLikely(Protocol):
    """A Decoder without logits that may tell the most likely tokens instead."""

    def unscored_reason(self) -> str | None:
        """Why it cannot, as a phrase; None where it can."""
        ...

    def most_likely(self, sequences: Sequence[Sequence[int]], k: int) -> Iterator[MostLikely]:
        """Predictions of each sequence, in order, with at most `k` tokens a place."""
        ...


@dataclass(slots=True, kw_only=True)
class TimedAnswer:
    """One request of many that arrive over time; seconds on the client's clock."""

    due_s: float
    sent_s: float = 0.0
    first_s: float = 0.0  # first token
    last_s: float = 0.0
    failure: str | None = None


@runtime_checkable
class TakesArrivals(Protocol):
    """A Decoder that takes requests while it answers others."""

    vocab_size: int

    def answer_arrivals(self, requests: Sequence[Request], offsets: Sequence[float]) -> list[TimedAnswer]:
        """Send each request so many seconds from now; when each was sent and answered, in their order."""
        ...


@runtime_checkable
class TellsNext(Protocol):
    """A Decoder without logits that may tell the most likely next tokens."""

    def next_log_p(self, prefix: Sequence[int], other: int) -> Mapping[int, float] | None:
        """Token -> log-probability behind a prefix, `other` too where it is told; None if nothing is."""
        ...


@runtime_checkable
class LimitsRows(Protocol):
    """A Decoder that runs no more rows at once, whatever batch size it is asked for."""

    most_at_once: int


@runtime_checkable
class CompilesShapes(Protocol):
    """A Decoder that may compile a step for each shape, so that a shape must be run before it is timed."""

    def compile_seconds(self) -> float | None:
        """Seconds of compiling so far; None where nothing is compiled by shape."""
        ...


@runtime_checkable
class TimesRequests(Protocol):
    """A Decoder that times each request of a batch by itself."""

    def request_times(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Seconds to the first token and from there to the last, of each request of the newest batch."""
        ...


@runtime_checkable
class TimesItself(Protocol):
    """A Decoder behind a server that counts its own seconds."""

    def start_timing(self) -> None:
        """Called before a batch, outside of what is timed at the client."""
        ...

    def own_timings(self) -> tuple[float, float] | None:
        """Seconds to the batch's first token, and from there to its last; None where it does not say."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldMatrix:
    """How one weight matrix is really held, and what multiplies it."""

    name: str  # as in the checkpoint
    format: str  # 'Q4_K', 'nf4', 'W16'
    group_size: int | None  # inputs that share a scale; None where a row or nothing has one
    parameters: int
    nbytes: int
    kernel: str  # of new tokens
    prompt_kernel: str  # of prompts
    tied: bool = False  # it is the embedding and the head


@runtime_checkable
class Audited(Protocol):
    """A Decoder that says of each matrix how it is held."""

    def held(self) -> "Iterable[HeldMatrix]":
        """Every matrix once, a tied head as the embedding that it is."""
        ...


@runtime_checkable
class HoldsCache(Protocol):
    """A Decoder that says how much its KV cache takes."""

    cache_bytes: int | None  # of the largest batch and length that ran; None where it cannot be seen


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A batch that a decoder will be asked for."""

    rows: int
    prompt_tokens: int  # of each row; of texts the most there may be
    positions: int  # of each row, prompt and new tokens
    text: bool = False  # rows differ in length and are scored, too


@runtime_checkable
class CompilesAhead(Protocol):
    """A Decoder whose kernels are compiled at run time, and may be before they are needed."""

    def compile_ahead(self, points: Sequence[Point]) -> None:
        """Compile what these batches need, all at once; what is missed is compiled when it is met."""
        ...


@runtime_checkable
class TimesStages(Protocol):
    """A Decoder whose decode step can note where its time goes."""

    def stage_shares(self, batch_size: int, context: int) -> Mapping[str, float]:
        """Stage -> share of the layers' time; empty where the step's kernel does not note it."""
        ...
